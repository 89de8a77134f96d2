/** Pairs of bars: a figure of the base model above the same figure of the tuned one. */
import { html } from "../lib/html.js";

const bar = (value) => html`<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"><rect class="track" width="100" height="6" rx="1" /><rect class="fill" width=${Math.max(0.6, Math.min(1, Math.max(0, value)) * 100)} height="6" rx="1" /></svg>`;

/** @param {{rows: [string, number, number, (value: number) => string, boolean?][]}} props the last value: no bar, as it is no share */
export const BeforeAfter = ({ rows }) => html`<table class="before-after">
  <caption class="hidden-text">The starter against your model</caption>
  <thead class="hidden-text"><tr><th scope="col">Figure</th><th scope="col">Starter</th><th scope="col">Your model</th></tr></thead>
  <tbody>${rows.map(([name, base, tuned, show, plain]) => html`<tr key=${name}>
    <th scope="row">${name}</th>
    <td class="before"><span class="side-name">Starter</span>${!plain && bar(base)}<span class="value">${show(base)}</span></td>
    <td class="after"><span class="side-name">Your model</span>${!plain && bar(tuned)}<span class="value">${show(tuned)}</span></td>
  </tr>`)}</tbody>
</table>`;
