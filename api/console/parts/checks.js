import { get } from "../lib/api.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { Status } from "./status.js";

/** What was checked before the job succeeded. */
export function Checks({ job }) {
  if (job.status !== "succeeded") return null;
  return html`<${Shown} id=${job.id} />`;
}

function Shown({ id }) {
  const { data } = useLoad((signal) => get(`/v1/fine_tuning/jobs/${id}/proof`, {}, signal), [id]);
  if (!data) return null;
  const checks = data.models.flatMap((model) => model.checks.map((check) => ({ ...check, key: `${model.model} ${check.name}` })));
  return html`<section class="card stack" aria-labelledby="checks">
    <div class="card-head"><h2 id="checks">Checks</h2><${Status} of=${data.status} /></div>
    <ul class="lines small">${checks.map((check) => html`<li key=${check.key} class="stack tight">
      ${check.status !== "ok" && html`<${Status} of=${check.status} />`}
      <span class="wrap">${check.message}</span>
    </li>`)}</ul>
  </section>`;
}
