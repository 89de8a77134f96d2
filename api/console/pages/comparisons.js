/** All comparisons, newest first. */
import { isMoving, MODES, votesOf } from "../lib/comparisons.js";
import { count } from "../lib/format.js";
import { html } from "../lib/html.js";
import { usePages } from "../lib/pages.js";
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
  const { rows, more, error, busy, reload, grow } = usePages("/v1/comparisons", { every: (seen) => (seen.some(isMoving) ? 4 : 15) });
  const start = may("comparisons.write") && html`<a class="button primary" href="#/new-comparison">New comparison</a>`;
  return html`<${Frame} title="Comparisons" lead="People rank responses, or pick the best one, without seeing which model wrote which. You train on their votes." actions=${start}>
    ${error && html`<${Problem} error=${error} retry=${reload} />`}
    ${(rows || !error) && html`<section class="card flush" aria-label="Comparisons">
      ${!rows && html`<${Loading}>Loading comparisons<//>`}
      ${rows?.length === 0 && html`<${Empty} title="No comparisons yet" action=${start}>Write some prompts, choose one or several models, and send people a link. Ten rankings are enough for a first job.<//>`}
      ${rows?.length > 0 && html`<${Table} caption="Comparisons" columns=${COLUMNS} rows=${rows} rowKey=${(row) => row.id} more=${more} grow=${grow} />`}
    </section>`}
    ${more && html`<div><button class="button" disabled=${busy} onClick=${grow}>${busy ? "Reading older comparisons…" : "Show older comparisons"}</button></div>`}
  <//>`;
}
