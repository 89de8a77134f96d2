/** All comparisons, newest first. */
import { useState } from "preact/hooks";
import { get } from "../lib/api.js";
import { isMoving, MODES, votesOf } from "../lib/comparisons.js";
import { count } from "../lib/format.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { link } from "../lib/router.js";
import { may } from "../lib/session.js";
import { Empty } from "../parts/empty.js";
import { Loading } from "../parts/loading.js";
import { Page as Frame } from "../parts/page.js";
import { Problem } from "../parts/problem.js";
import { Status } from "../parts/status.js";
import { Table } from "../parts/table.js";
import { When } from "../parts/when.js";

const COLUMNS = [
  { title: "Comparison", cell: (row) => html`<a href=${link("comparisons", row.id)}>${row.name}</a><span class="sub">${row.models.join(", ") || "Imported votes"}</span>` },
  { title: "Responses", cell: (row) => html`<${Status} of=${row.status} />` },
  { title: "Task", cell: (row) => MODES[row.mode] },
  { title: "Items", end: true, cell: (row) => count(row.progress.items + row.progress.imported) },
  { title: "Votes", end: true, cell: (row) => (row.progress.votes_wanted ? `${count(votesOf(row))} of ${count(row.progress.votes_wanted + row.progress.imported_votes)}` : count(votesOf(row))) },
  { title: "Created", cell: (row) => html`<${When} at=${row.created_at} />` },
];

export function Page() {
  const [shown, setShown] = useState(50);
  const { data, error, loading, reload } = useLoad((signal) => pages(shown, signal), [shown], (seen) => (seen.rows.some(isMoving) ? 4 : 15));
  const start = may("comparisons.write") && html`<a class="button primary" href="#/new-comparison">New comparison</a>`;
  return html`<${Frame} title="Comparisons" lead="People rank responses, or pick the best one, without seeing which model wrote which. You train on their votes." actions=${start}>
    ${error && html`<${Problem} error=${error} retry=${reload} />`}
    ${(loading || data) && html`<section class="card flush" aria-label="Comparisons">
      ${loading && html`<${Loading}>Loading comparisons<//>`}
      ${data && data.rows.length === 0 && html`<${Empty} title="No comparisons yet" action=${start}>Write some prompts, choose one or several models, and send people a link. Ten rankings are enough for a first job.<//>`}
      ${data && data.rows.length > 0 && html`<${Table} caption="Comparisons" columns=${COLUMNS} rows=${data.rows} rowKey=${(row) => row.id} />`}
    </section>`}
    ${data?.more && html`<div><button class="button" onClick=${() => setShown(shown + 50)}>Show older comparisons</button></div>`}
  <//>`;
}

async function pages(wanted, signal) {
  const rows = [];
  let more = true;
  while (more && rows.length < wanted) {
    const page = await get("/v1/comparisons", { limit: Math.min(100, wanted - rows.length), after: rows.at(-1)?.id }, signal);
    rows.push(...page.data);
    more = page.has_more;
  }
  return { rows, more };
}
