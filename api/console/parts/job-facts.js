import { bytes, count, moment } from "../lib/format.js";
import { html } from "../lib/html.js";
import { methodOf } from "../lib/jobs.js";
import { FileName } from "./file-name.js";
import { When } from "./when.js";

/** What the job is made of. */
export function JobFacts({ job }) {
  const facts = [
    ["Method", methodOf(job)],
    ["Started from", job.model],
    ["Training file", html`<${FileName} id=${job.training_file} />`],
    ["Validation file", job.validation_file && html`<${FileName} id=${job.validation_file} />`],
    ["Created", html`<${When} at=${job.created_at} />`],
    ["Finished", job.finished_at && moment(job.finished_at)],
    ["Tokens trained", job.trained_tokens !== null && count(job.trained_tokens)],
    ["Seed", String(job.seed)],
    ["In storage", job.stored_bytes !== null && bytes(job.stored_bytes)],
    ["User code runs in", job.sandbox],
    ...Object.entries(job.metadata ?? {}),
    ["Id", html`<span class="mono">${job.id}</span>`],
  ].filter(([, value]) => value);
  return html`<section class="card stack" aria-labelledby="facts">
    <h2 id="facts">About this job</h2>
    <dl class="facts">${facts.map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${value}</dd>`)}</dl>
  </section>`;
}
