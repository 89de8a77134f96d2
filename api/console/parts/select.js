import { useId } from "preact/hooks";
import { html } from "../lib/html.js";

/**
 * A choice from a list. An option is a value, or a value with its words.
 *
 * @param {{label: string, value: string, options: (string | [string, string])[], choose: (value: string) => void, inline?: boolean, hint?: any}} props
 */
export function Select({ label, value, options, choose, inline, hint }) {
  const id = useId();
  return html`<div class=${inline ? "row" : "field"}>
    <label class="label" for=${id}>${label}</label>
    <select id=${id} class=${`input ${inline ? "short" : ""}`} value=${value} onChange=${(event) => choose(event.target.value)} aria-describedby=${hint ? `${id}-hint` : null}>
      ${options.map((option) => {
        const [key, word] = Array.isArray(option) ? option : [option, option];
        return html`<option key=${key} value=${key}>${word}</option>`;
      })}
    </select>
    ${hint && html`<div class="hint" id=${`${id}-hint`}>${hint}</div>`}
  </div>`;
}
