/** Where a model comes from: each job back to the base model, with its method and its data. */
import { html } from "../lib/html.js";
import { methodOf, nameOf } from "../lib/jobs.js";
import { link } from "../lib/router.js";
import { When } from "./when.js";

const DEEPEST = 20;

/** Jobs from the newest back to the one that started from a base model. A checkpoint belongs to its model's job. */
function chain(name, jobs) {
  const found = [];
  let model = name;
  while (found.length < DEEPEST) {
    const job = jobs.find((each) => each.fine_tuned_model && (model === each.fine_tuned_model || model.startsWith(`${each.fine_tuned_model}:ckpt-`)));
    if (!job || found.includes(job)) break;
    found.push(job);
    model = job.model;
  }
  return { found, root: model };
}

export function Lineage({ name, jobs, files }) {
  const { found, root } = chain(name, jobs);
  const fileName = (id) => files.find((file) => file.id === id)?.filename ?? id;
  if (found.length === 0) return html`<p class="message">Its job is not among the newest of this project, so its origin cannot be shown.</p>`;
  return html`<section class="stack" aria-labelledby="lineage">
    <h2 id="lineage">Where it comes from</h2>
    <ol class="card flush lines boxed">
      ${found.map((job, place) => html`<li key=${job.id} class="stack tight">
        <span class="mono small wrap">${place ? found[place - 1].model : name}</span>
        <span class="quiet wrap">made by <a href=${link("jobs", job.id)}>${nameOf(job)}</a> with ${methodOf(job)} on <a href=${link("datasets", job.training_file)}>${fileName(job.training_file)}</a>, <${When} at=${job.finished_at ?? job.created_at} /></span>
      </li>`)}
      <li class="stack tight"><span class="mono small wrap">${root}</span><span class="quiet">base model</span></li>
    </ol>
  </section>`;
}
