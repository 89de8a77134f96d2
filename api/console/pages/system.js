/** The machines behind Fettle: workers and their slots, engines, the queue, and whether each part is well. */
import { get } from "../lib/api.js";
import { many } from "../lib/format.js";
import { html } from "../lib/html.js";
import { attempt, json } from "../lib/http.js";
import { useLoad } from "../lib/load.js";
import { link } from "../lib/router.js";
import { session } from "../lib/session.js";
import { Empty } from "../parts/empty.js";
import { Loading } from "../parts/loading.js";
import { Page as Frame } from "../parts/page.js";
import { Problem } from "../parts/problem.js";
import { Status } from "../parts/status.js";
import { Table } from "../parts/table.js";
import { When } from "../parts/when.js";

const EVERY = 5; // seconds

/** Answers with a status of its own when a part is away, which is what this page is for. */
async function readiness(signal) {
  return json(await attempt("GET", "/readyz", { signal }), true);
}

async function look(signal) {
  const [workers, engines, jobs, parts] = await Promise.all([
    get("/v1/workers", {}, signal),
    get("/v1/engines", {}, signal),
    get("/v1/fine_tuning/jobs", { limit: 100 }, signal),
    readiness(signal),
  ]);
  return { workers: workers.data, engines: engines.data, jobs: jobs.data, parts };
}

const COLUMNS = [
  { title: "Worker", cell: (worker) => html`${worker.host}<span class="sub mono">${worker.id}</span>` },
  { title: "Status", cell: (worker) => html`<${Status} of=${worker.status} />` },
  { title: "Slots", cell: (worker) => html`<ul>${worker.slots.map((slot, place) => html`<li key=${place}>${slot.device}: ${slot.busy ? (slot.job_id ? html`<a href=${link("jobs", slot.job_id)}>busy</a>` : "busy") : "free"}</li>`)}</ul>` },
  { title: "Base models", cell: (worker) => html`<span class="wrap">${worker.base_models.join(", ")}</span>` },
  { title: "User code", cell: (worker) => html`<span class="wrap small">${worker.sandbox ?? "cannot run here"}</span>` },
  { title: "Version", cell: (worker) => worker.version },
  { title: "Seen", cell: (worker) => html`<${When} at=${worker.seen_at} />` },
];

const ENGINES = [
  { title: "Engine", cell: (engine) => html`${engine.host}${engine.url && html`<span class="sub mono">${engine.url}</span>`}` },
  { title: "Status", cell: (engine) => html`<${Status} of=${engine.status} />` },
  { title: "Base models", cell: (engine) => html`<span class="wrap">${engine.base_models.join(", ")}</span>` },
  { title: "Adapters", cell: (engine) => engine.adapters },
  { title: "Requests", cell: (engine) => engine.requests },
  { title: "Kind", cell: (engine) => (engine.kind === "vllm" ? "vLLM" : "Fettle") },
  { title: "Version", cell: (engine) => engine.version },
  { title: "Seen", cell: (engine) => html`<${When} at=${engine.seen_at} />` },
];

export function Page() {
  const { data, error, loading, reload } = useLoad(look, [], EVERY);
  if (loading) return html`<${Frame} title="System"><${Loading}>Looking at the workers<//><//>`;
  if (!data) return html`<${Frame} title="System"><${Problem} error=${error} retry=${reload} /><//>`;
  const ready = data.workers.filter((worker) => worker.status === "ready");
  const slots = ready.flatMap((worker) => worker.slots);
  const queued = data.jobs.filter((job) => job.status === "queued").length;
  const tiles = [["Workers", ready.length], ["Busy slots", `${slots.filter((slot) => slot.busy).length} of ${slots.length}`], ["Jobs in your queue", queued], ["Version", session.value?.version]];
  return html`<${Frame} title="System" lead=${ready.length ? `${many(ready.length, "worker")} ready.` : "No worker is ready. Jobs wait until one starts."}>
    ${error && html`<${Problem} error=${error} />`}
    <dl class="card tiles">${tiles.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    <section class="stack" aria-labelledby="workers"><h2 id="workers">Workers</h2><div class="card flush">
      ${data.workers.length ? html`<${Table} caption="Workers" columns=${COLUMNS} rows=${data.workers} rowKey=${(worker) => worker.id} />`
        : html`<${Empty} title="No worker has been seen today">Run <code>fettle worker</code> on a machine that can train. It finds this server by the same settings.<//>`}
    </div></section>
    <section class="stack" aria-labelledby="engines"><h2 id="engines">Engines</h2><div class="card flush">
      ${data.engines.length ? html`<${Table} caption="Engines" columns=${ENGINES} rows=${data.engines} rowKey=${(engine) => engine.id} />`
        : html`<${Empty} title="No engine has announced itself">Run <code>fettle engine</code>. Without an engine, jobs train but nobody can chat.<//>`}
    </div></section>
    <section class="stack" aria-labelledby="parts"><h2 id="parts">Parts</h2>
      <ul class="card flush lines boxed">${Object.entries(data.parts).filter(([name]) => name !== "status").map(([name, state]) => html`<li key=${name} class="row spread">
        <span class="part">${name}</span><span class=${`status ${state === "ok" ? "good" : "bad"}`}>${state === "ok" ? "Ready" : state}</span></li>`)}</ul>
    </section>
  <//>`;
}
