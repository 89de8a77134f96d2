import { html } from "../lib/html.js";
import { METHODS } from "../lib/methods.js";
import { Field } from "./field.js";

/** The settings that the method has; an empty one is left to Fettle. */
export const MethodSettings = ({ method, values, change }) => html`<section class="card">
  <details class="details"><summary>Settings (all of them have good defaults)</summary>
    <div class="grid-2">${METHODS[method].settings.map((setting) => html`<${Field} key=${setting.name} label=${setting.label} hint=${setting.why}>
      ${(attributes) => html`<input ...${attributes} class="input" type="number" placeholder="auto" min=${setting.min} max=${setting.max} step=${setting.step}
        value=${values[setting.name] ?? ""} onInput=${(event) => change({ ...values, [setting.name]: event.target.value })} />`}
    <//>`)}</div>
  </details>
</section>`;
