import { html } from "../lib/html.js";
import { Field } from "./field.js";

/** How answers are drawn. */
export function Sampling({ values, change }) {
  const set = (name, number) => (event) => change({ ...values, [name]: number ? Number(event.target.value) : event.target.value });
  return html`<details class="details"><summary>System prompt and sampling</summary><div class="stack">
    <${Field} label="System prompt">${(attributes) => html`<textarea ...${attributes} class="input" rows="2" value=${values.system} onInput=${set("system")}></textarea>`}<//>
    <div class="grid-2">
      <${Field} label="Temperature" hint="0 gives the same answer each time.">${(attributes) => html`<input ...${attributes} class="input" type="number" min="0" max="2" step="0.1" value=${values.temperature} onInput=${set("temperature", true)} />`}<//>
      <${Field} label="Longest answer, in tokens">${(attributes) => html`<input ...${attributes} class="input" type="number" min="1" max="8192" value=${values.max_tokens} onInput=${set("max_tokens", true)} />`}<//>
    </div>
  </div></details>`;
}
