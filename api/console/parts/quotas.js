import { useState } from "preact/hooks";
import { announce } from "../lib/announce.js";
import { post } from "../lib/api.js";
import { bytes, count } from "../lib/format.js";
import { html } from "../lib/html.js";
import { may } from "../lib/session.js";
import { Problem } from "./problem.js";

const QUOTAS = {
  files: ["Files", count],
  bytes: ["Storage", bytes],
  queued_jobs: ["Waiting and paused jobs", count],
  running_jobs: ["Running jobs", count],
  high_priority_jobs: ["High-priority jobs", count],
  job_hours: ["Hours of one job", count],
  gpu_hours: ["GPU-hours in 30 days", count],
  tokens: ["Tokens trained in 30 days", count],
};

/** What a project uses of what it may use; an operator changes the limits. */
export function Quotas({ project, saved }) {
  const [limits, setLimits] = useState(() => Object.fromEntries(Object.entries(project.quotas).map(([name, limit]) => [name, limit ?? ""])));
  const [error, setError] = useState(null);
  const operator = may("admin");
  async function save(event) {
    event.preventDefault();
    setError(null);
    const quotas = Object.fromEntries(Object.entries(limits).map(([name, limit]) => [name, limit === "" ? null : Number(limit)]));
    try {
      await post(`/v1/projects/${project.id}`, { quotas });
      announce("The quotas are saved.");
      saved();
    } catch (problem) {
      setError(problem);
    }
  }
  return html`<section class="card stack" aria-labelledby="quotas"><h2 id="quotas">Quotas of ${project.name}</h2>
    <form class="stack" onSubmit=${save}>
      <ul class="lines">${Object.entries(QUOTAS).map(([name, [words, show]]) => {
        const used = project.usage[name] ?? 0;
        const limit = project.quotas[name];
        return html`<li key=${name} class="quota">
          <span>${words}</span>
          <span class="number">${show(used)}${limit === null ? "" : ` of ${show(limit)}`}</span>
          ${limit === null ? html`<span class="small faint">no limit</span>` : html`<progress class="progress" max=${Math.max(1, limit)} value=${used} aria-label=${`${words} used`}></progress>`}
          ${operator && html`<input class="input weight" type="number" min="0" placeholder="none" aria-label=${`Limit for ${words.toLowerCase()}`} value=${limits[name]} onInput=${(event) => setLimits({ ...limits, [name]: event.target.value })} />`}
        </li>`;
      })}</ul>
      ${error && html`<${Problem} error=${error} />`}
      ${operator && html`<div><button class="button">Save quotas</button></div>`}
    </form>
  </section>`;
}
