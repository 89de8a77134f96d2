import { html } from "../lib/html.js";
import { link } from "../lib/router.js";
import { CompareJob } from "./compare-job.js";

/** The model that a job has made, and what to do with it. */
export function JobResult({ job }) {
  if (!job.fine_tuned_model) return null;
  const { fine_tuned_model: model } = job;
  const chats = job.method.type !== "reward_model";
  return html`<section class="card row spread" aria-label="The tuned model">
    <div class="stack tight">
      <span class="small faint">Tuned model</span>
      <strong class="mono wrap">${model}</strong>
    </div>
    <div class="row">
      ${chats && html`<a class="button primary" href=${`#/playground?models=${encodeURIComponent(`${job.model},${model}`)}`}>Chat</a>`}
      <a class="button" href=${link("models", model)}>Lineage</a>
      ${chats && html`<${CompareJob} job=${job} />`}
      <a class="button" href=${`/v1/fine_tuning/jobs/${job.id}/adapter`} download>Download</a>
    </div>
  </section>`;
}
