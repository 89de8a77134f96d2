import { useId } from "preact/hooks";
import { html } from "../lib/html.js";

/**
 * A labelled field with its hint and what is wrong with it.
 *
 * @param {{label: string, hint?: any, wrong?: string, children: (attributes: any) => any}} props
 */
export function Field({ label, hint, wrong, children }) {
  const id = useId();
  const described = [hint && `${id}-hint`, wrong && `${id}-wrong`].filter(Boolean).join(" ") || null;
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${children({ id, "aria-describedby": described, "aria-invalid": wrong ? "true" : null })}
    ${hint && html`<div class="hint" id=${`${id}-hint`}>${hint}</div>`}
    ${wrong && html`<div class="wrong" id=${`${id}-wrong`}>${wrong}</div>`}
  </div>`;
}
