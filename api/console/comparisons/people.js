/** Figures of each annotator: pace, agreement with the others and with themselves, and position bias. */
import { count, percent } from "../lib/format.js";
import { html } from "../lib/html.js";
import { Table } from "../parts/table.js";

const SURE = 0.05; // a p-value below it

function bias({ position_bias: found }) {
  if (!found) return null;
  const words = `${percent(found.first_place_best)}, by chance ${percent(found.expected)}`;
  return found.p_value < SURE ? html`<span class="status warn">${words}</span>` : words;
}
const share = (found) => (found.agreement === null ? null : `${percent(found.agreement)} on ${found.items}`);

export function People({ annotators }) {
  if (annotators.length === 0) return null;
  const checked = annotators.some((each) => each.gold.items + each.repeated.items > 0);
  const columns = [
    { title: "Annotator", cell: (row) => row.name },
    { title: "Votes", end: true, cell: (row) => count(row.votes) },
    { title: "Skipped", end: true, cell: (row) => count(row.skipped) },
    { title: "All bad", end: true, cell: (row) => count(row.both_bad) },
    { title: "Pace", end: true, cell: (row) => row.median_seconds === null ? null : `${row.median_seconds < 10 ? row.median_seconds.toFixed(1) : Math.round(row.median_seconds)} s` },
    { title: "With the others", end: true, cell: (row) => (row.agreement === null ? null : percent(row.agreement)) },
    { title: "First place best", end: true, cell: bias },
    ...(checked ? [{ title: "Gold", end: true, cell: (row) => share(row.gold) }, { title: "Repeated", end: true, cell: (row) => share(row.repeated) }] : []),
  ];
  return html`<section class="stack" aria-labelledby="people">
    <div class="stack tight"><h2 id="people">Annotators</h2>
      <p class="small quiet">Pace is the median time of a vote. A share of first places far from chance means that somebody prefers what is shown first.</p></div>
    <div class="card flush"><${Table} caption="Annotators" columns=${columns} rows=${annotators} rowKey=${(row) => row.annotator_id} /></div>
  </section>`;
}
