/** All jobs, newest first. */
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { ageOf, hasEnded, methodOf, nameOf } from "../lib/jobs.js";
import { usePages } from "../lib/pages.js";
import { link } from "../lib/router.js";
import { Empty } from "../parts/empty.js";
import { Loading } from "../parts/loading.js";
import { Page as Frame } from "../parts/page.js";
import { Problem } from "../parts/problem.js";
import { Status } from "../parts/status.js";
import { Table } from "../parts/table.js";
import { Tabs } from "../parts/tabs.js";
import { When } from "../parts/when.js";

const FILTERS = {
  all: ["All", () => true],
  open: ["Open", (job) => !hasEnded(job)],
  succeeded: ["Succeeded", (job) => job.status === "succeeded"],
  failed: ["Failed", (job) => job.status === "failed"],
};
const COLUMNS = [
  { title: "Job", cell: (job) => html`<a href=${link("jobs", job.id)}>${nameOf(job)}</a><span class="sub mono">${job.id}</span>` },
  { title: "Status", cell: (job) => html`<${Status} of=${job.status} />` },
  { title: "Method", cell: (job) => methodOf(job) },
  { title: "Started from", cell: (job) => html`<span class="wrap small">${job.model}</span>` },
  { title: "Created", cell: (job) => html`<${When} at=${job.created_at} />` },
  { title: "Took", end: true, cell: (job) => (hasEnded(job) ? ageOf(job) : "") },
];

export function Page() {
  const [filter, setFilter] = useState("all");
  const { rows: jobs, more, error, busy, reload, grow } = usePages("/v1/fine_tuning/jobs", { every: () => 5 });
  const rows = jobs?.filter(FILTERS[filter][1]) ?? [];
  const start = html`<a class="button primary" href="#/new-job">New job</a>`;
  return html`<${Frame} title="Jobs" actions=${start}>
    ${error && html`<${Problem} error=${error} retry=${reload} />`}
    <${Tabs} label="Which jobs" value=${filter} choose=${setFilter} options=${Object.entries(FILTERS).map(([key, [word]]) => [key, word])} />
    <section class="card flush" aria-label="Jobs">
      ${!jobs && !error && html`<${Loading}>Loading jobs<//>`}
      ${jobs?.length === 0 && html`<${Empty} title="No jobs yet" action=${start}>A job trains a model on one of your datasets. It appears here with its curves and its result.<//>`}
      ${jobs?.length > 0 && rows.length === 0 && html`<${Empty} title="No job matches">None of the ${jobs.length} newest jobs is in this list.<//>`}
      ${rows.length > 0 && html`<${Table} caption="Jobs" columns=${COLUMNS} rows=${rows} rowKey=${(job) => job.id} more=${more} grow=${grow} />`}
    </section>
    ${more && html`<div><button class="button" disabled=${busy} onClick=${grow}>${busy ? "Reading older jobs…" : "Show older jobs"}</button></div>`}
  <//>`;
}
