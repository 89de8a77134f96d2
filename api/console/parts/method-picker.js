import { html } from "../lib/html.js";
import { METHODS } from "../lib/methods.js";

/** How the model learns: one card a method. */
export const MethodPicker = ({ value, choose }) => html`<fieldset class="methods">
  <legend><h2>Method</h2></legend>
  ${Object.entries(METHODS).map(([name, method]) => html`<label key=${name} class=${`card method ${value === name ? "chosen" : ""}`}>
    <input type="radio" name="method" value=${name} checked=${value === name} onChange=${() => choose(name)} />
    <span class="stack tight"><strong>${method.title}</strong><span>${method.words}</span><span class="small faint">${method.data}</span></span>
  </label>`)}
</fieldset>`;
