/** Base models and tuned models. */
import { get } from "../lib/api.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { link } from "../lib/router.js";
import { Empty } from "../parts/empty.js";
import { Loading } from "../parts/loading.js";
import { Page as Frame } from "../parts/page.js";
import { Problem } from "../parts/problem.js";
import { Table } from "../parts/table.js";
import { When } from "../parts/when.js";

const KINDS = { chat: "Chat", reward_model: "Reward model" };
const chat = (model) => model.kind === "chat" && html`<a class="button small" href=${`#/playground?models=${encodeURIComponent(model.id)}`}>Chat</a>`;
const TUNED = [
  { title: "Model", cell: (model) => html`<a class="mono small wrap" href=${link("models", model.id)}>${model.id}</a>` },
  { title: "Kind", cell: (model) => KINDS[model.kind] },
  { title: "Created", cell: (model) => html`<${When} at=${model.created} />` },
  { title: "", end: true, cell: chat },
];
const BASE = [
  { title: "Model", cell: (model) => html`<span class="wrap">${model.id}</span>` },
  { title: "Kind", cell: (model) => KINDS[model.kind] },
  { title: "", end: true, cell: (model) => html`<span class="row end">${chat(model)}<a class="button small" href=${`#/new-job?model=${encodeURIComponent(model.id)}`}>Train</a></span>` },
];

export function Page() {
  const { data, error, loading, reload } = useLoad((signal) => get("/v1/models", {}, signal));
  const of = (base) => data.data.filter((model) => (model.owned_by === "fettle") === base);
  return html`<${Frame} title="Models" lead="Base models come with Fettle or from your catalog. Tuned models are what your jobs made of them.">
    ${error && html`<${Problem} error=${error} retry=${reload} />`}
    ${loading && html`<${Loading}>Loading models<//>`}
    ${data && html`<section class="stack" aria-labelledby="tuned"><h2 id="tuned">Tuned models</h2><div class="card flush">
      ${of(false).length ? html`<${Table} caption="Tuned models" columns=${TUNED} rows=${of(false)} rowKey=${(model) => model.id} />` : html`<${Empty} title="No tuned models yet" action=${html`<a class="button primary" href="#/new-job">New job</a>`}>A job that succeeds publishes one here.<//>`}
    </div></section>
    <section class="stack" aria-labelledby="base"><h2 id="base">Base models</h2><div class="card flush">
      <${Table} caption="Base models" columns=${BASE} rows=${of(true)} rowKey=${(model) => model.id} />
    </div></section>`}
  <//>`;
}
