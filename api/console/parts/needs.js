import { html } from "../lib/html.js";
import { nameOf, remedyOf } from "../lib/jobs.js";
import { many } from "../lib/format.js";
import { link } from "../lib/router.js";

const WEEK = 7 * 86400;

/**
 * What waits for a person, the most urgent first.
 *
 * @returns {{id: string, level: "bad" | "warn" | "good", title: string, words: string, href: string, action: string}[]}
 */
export function needsOf({ jobs, workers, comparisons }) {
  const now = Date.now() / 1000;
  const needs = [];
  if (jobs.some((job) => job.status === "queued") && !workers.some((worker) => worker.status === "ready"))
    needs.push({ id: "no-worker", level: "bad", title: "No worker is running", words: "Jobs wait until one starts. Run `fettle worker` on a machine that can train.", href: "#/system", action: "Open System" });
  for (const job of jobs) {
    const href = link("jobs", job.id);
    if (job.status === "failed" && now - job.finished_at < WEEK)
      needs.push({ id: job.id, level: "bad", title: `${nameOf(job)} failed`, words: `${job.error?.message ?? ""} ${remedyOf(job)}`, href, action: "Open the job" });
    if (job.status === "paused")
      needs.push({ id: job.id, level: "warn", title: `${nameOf(job)} is paused`, words: "Resume it when you are ready.", href, action: "Open the job" });
  }
  for (const comparison of comparisons)
    if (votesMissing(comparison) > 0)
      needs.push({ id: comparison.id, level: "good", title: `${comparison.name} wants votes`, words: `${many(votesMissing(comparison), "vote")} to go.`, href: link("comparisons", comparison.id), action: "Vote" });
  return needs;
}

const votesMissing = ({ status, progress }) => (status === "generating" ? 0 : progress.votes_wanted - progress.votes);

export const Needs = ({ needs }) => html`<section class="stack" aria-labelledby="needs">
  <h2 id="needs">Needs you</h2>
  <ul class="card flush lines boxed">
    ${needs.map((need) => html`<li key=${need.id} class="row spread">
      <div class="stack tight">
        <span class=${`status ${need.level}`}>${need.title}</span>
        <p class="quiet small wrap">${need.words}</p>
      </div>
      <a class="button small" href=${need.href}>${need.action}</a>
    </li>`)}
  </ul>
</section>`;
