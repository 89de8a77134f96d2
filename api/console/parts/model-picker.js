import { html } from "../lib/html.js";
import { Select } from "./select.js";

/** The models that answer: chosen one by one, each at most once. */
export function ModelPicker({ models, chosen, choose, most }) {
  const known = [...new Set([...models, ...chosen])];
  const left = known.filter((model) => !chosen.includes(model));
  const replace = (place) => (model) => choose(chosen.map((each, number) => (number === place ? model : each)));
  return html`<div class="stack tight">
    <div class="grid-2">${chosen.map((model, place) => html`<div key=${model} class="picked">
      <${Select} label=${`Model ${place + 1}`} value=${model} choose=${replace(place)} options=${known.filter((each) => each === model || !chosen.includes(each))} />
      ${chosen.length > 1 && html`<button type="button" class="button plain small" onClick=${() => choose(chosen.filter((each) => each !== model))}>Remove</button>`}
    </div>`)}</div>
    ${chosen.length < most && left.length > 0 && html`<div><button type="button" class="button small" onClick=${() => choose([...chosen, left[0]])}>Add a model</button></div>`}
  </div>`;
}
