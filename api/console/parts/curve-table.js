import { count } from "../lib/format.js";
import { html } from "../lib/html.js";
import { seriesName, shownValue } from "../lib/metrics.js";

/** The curves as numbers: each metric's first, lowest, highest and newest value. */
export const CurveTable = ({ charts, series }) => html`<div class="card flush table-box" tabindex="0" role="region" aria-label="Curves as a table">
  <table class="table">
    <thead><tr>${["Metric", "First", "Lowest", "Highest", "Newest", "Step"].map((title, place) => html`<th key=${title} scope="col" class=${place ? "end" : ""}>${title}</th>`)}</tr></thead>
    <tbody>${charts.flatMap((chart) => chart.metrics.map((name) => {
      const { step, value } = series[name];
      const show = (each) => shownValue(chart, each);
      const low = value.reduce((one, other) => Math.min(one, other));
      const high = value.reduce((one, other) => Math.max(one, other));
      return html`<tr key=${name}>
        <td>${chart.title}<span class="sub">${seriesName(name)}</span></td>
        ${[value[0], low, high, value.at(-1)].map((each, place) => html`<td key=${place} class="end">${show(each)}</td>`)}
        <td class="end">${count(step.at(-1))}</td>
      </tr>`;
    }))}</tbody>
  </table>
</div>`;
