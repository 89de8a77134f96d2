/** Samples that a reward function is tried on: a completion, and the row of the dataset that it belongs to. */
import { html } from "../lib/html.js";
import { Field } from "../parts/field.js";

const AT_MOST = 20; // in one request

export const FIRST = [
  { completion: "<answer>5</answer>", row: '{"prompt": "What is 2 + 3?", "answer": "5"}' },
  { completion: "Five, I think.", row: '{"prompt": "What is 2 + 3?", "answer": "5"}' },
];

/** The row as an object. Throws an Error in plain words. */
function itemOf(row, number) {
  if (!row.trim()) return {};
  let item;
  try {
    item = JSON.parse(row);
  } catch {
    item = null;
  }
  if (item === null || typeof item !== "object" || Array.isArray(item)) throw new Error(`The row of sample ${number} is not a JSON object. Write it as a line of a dataset, such as {"answer": "5"}.`);
  return item;
}

/** As a request has them. Throws an Error in plain words. */
export const samplesOf = (samples) => samples.map(({ completion, row }, place) => ({ completion, item: itemOf(row, place + 1) }));

/** @param {{samples: {completion: string, row: string}[], change: (samples: any[]) => void}} props */
export function Samples({ samples, change }) {
  const replace = (place, part) => change(samples.map((each, number) => (number === place ? { ...each, ...part } : each)));
  return html`<section class="card stack" aria-labelledby="samples">
    <h2 id="samples">Samples</h2>
    <p class="small quiet">What a model might write, and the dataset row that it answers. The function gets the row as <code>example</code>.</p>
    <ol class="lines">${samples.map(({ completion, row }, place) => html`<li key=${place} class="stack tight">
      <${Field} label=${`Completion ${place + 1}`}>${(attributes) => html`<textarea ...${attributes} class="input low" rows="2" value=${completion} onInput=${(event) => replace(place, { completion: event.target.value })} />`}<//>
      <${Field} label=${`Row ${place + 1}, as JSON (optional)`}>${(attributes) => html`<input ...${attributes} class="input mono" spellcheck=${false} value=${row} onInput=${(event) => replace(place, { row: event.target.value })} />`}<//>
      ${samples.length > 1 && html`<div><button type="button" class="button small plain" aria-label=${`Remove sample ${place + 1}`} onClick=${() => change(samples.filter((_, number) => number !== place))}>Remove</button></div>`}
    </li>`)}</ol>
    ${samples.length < AT_MOST && html`<div><button type="button" class="button small" onClick=${() => change([...samples, { completion: "", row: samples.at(-1).row }])}>Add a sample</button></div>`}
  </section>`;
}
