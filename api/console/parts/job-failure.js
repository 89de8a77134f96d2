import { html } from "../lib/html.js";
import { RESUMABLE } from "../lib/jobs.js";

/** Why the job failed, and what to do. */
export function JobFailure({ job }) {
  if (job.status !== "failed" || !job.error) return null;
  const way = RESUMABLE.includes(job.error.code)
    ? "Nothing is wrong with the job itself. Resume it to continue from its last checkpoint."
    : "Its events below say what happened before. Start a corrected job when you know what to change.";
  return html`<section class="message bad" aria-label="Why the job failed">
    <p><strong>${job.error.message}</strong></p>
    <p>${way}</p>
    <p class="small mono">${job.error.code}${job.error.param ? ` · ${job.error.param}` : ""}</p>
  </section>`;
}
