/** All jobs, newest first. */
import { useState } from "preact/hooks";
import { get } from "../lib/api.js";
import { html } from "../lib/html.js";
import { ageOf, hasEnded, methodOf, nameOf } from "../lib/jobs.js";
import { useLoad } from "../lib/load.js";
import { link } from "../lib/router.js";
import { ROUTES } from "../routes.js";
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
  const [shown, setShown] = useState(50);
  const [filter, setFilter] = useState("all");
  const { data, error, loading, reload } = useLoad((signal) => pages(shown, signal), [shown], 5);
  const rows = data?.rows.filter(FILTERS[filter][1]) ?? [];
  const start = ROUTES.some((route) => route.path === "/new-job") && html`<a class="button primary" href="#/new-job">New job</a>`;
  return html`<${Frame} title="Jobs" actions=${start}>
    ${error && html`<${Problem} error=${error} retry=${reload} />`}
    <${Tabs} label="Which jobs" value=${filter} choose=${setFilter} options=${Object.entries(FILTERS).map(([key, [word]]) => [key, word])} />
    <section class="card flush" aria-label="Jobs">
      ${loading && html`<${Loading}>Loading jobs<//>`}
      ${data && data.rows.length === 0 && html`<${Empty} title="No jobs yet" action=${start}>A job trains a model on one of your datasets. It appears here with its curves and its result.<//>`}
      ${data && data.rows.length > 0 && rows.length === 0 && html`<${Empty} title="No job matches">None of the ${data.rows.length} newest jobs is in this list.<//>`}
      ${rows.length > 0 && html`<${Table} caption="Jobs" columns=${COLUMNS} rows=${rows} rowKey=${(job) => job.id} />`}
    </section>
    ${data?.more && html`<div><button class="button" onClick=${() => setShown(shown + 50)}>Show older jobs</button></div>`}
  <//>`;
}

/** The newest jobs, `wanted` of them. */
async function pages(wanted, signal) {
  const rows = [];
  let more = true;
  while (more && rows.length < wanted) {
    const page = await get("/v1/fine_tuning/jobs", { limit: Math.min(100, wanted - rows.length), after: rows.at(-1)?.id }, signal);
    rows.push(...page.data);
    more = page.has_more;
  }
  return { rows, more };
}
