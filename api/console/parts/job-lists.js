/** The lists of Home. */
import { html } from "../lib/html.js";
import { etaOf, methodOf, nameOf, phaseOf } from "../lib/jobs.js";
import { link } from "../lib/router.js";
import { JobProgress } from "./job-progress.js";
import { Table } from "./table.js";
import { When } from "./when.js";

const name = (job) => html`<a href=${link("jobs", job.id)}>${nameOf(job)}</a><span class="sub">${methodOf(job)} on ${job.model}</span>`;

export const RunningJobs = ({ jobs, reached }) => html`<section class="stack" aria-labelledby="running">
  <h2 id="running">Running</h2>
  <div class="grid-2">
    ${jobs.map((job) => html`<article key=${job.id} class="card stack tight">
      <div class="card-head"><h3><a href=${link("jobs", job.id)}>${nameOf(job)}</a></h3>
        <span class="small quiet number">${etaOf(job)}</span></div>
      <p class="small quiet wrap">${methodOf(job)} on ${job.model}. ${phaseOf(job, reached[job.id])}</p>
      <${JobProgress} reached=${reached[job.id] ?? {}} name=${nameOf(job)} />
    </article>`)}
  </div>
</section>`;

export const WaitingJobs = ({ jobs }) => html`<section class="stack" aria-labelledby="waiting">
  <h2 id="waiting">Waiting</h2>
  <div class="card flush"><${Table} caption="Jobs that wait" rows=${jobs} rowKey=${(job) => job.id} columns=${[
    { title: "Job", cell: name },
    { title: "Place", end: true, cell: (job) => job.waiting?.position ?? "" },
    { title: "Why it waits", cell: (job) => job.waiting?.message },
    { title: "Starts", cell: (job) => job.waiting?.estimated_start && html`<${When} at=${job.waiting.estimated_start.likely} />` },
    { title: "Since", cell: (job) => html`<${When} at=${job.created_at} />` },
  ]} /></div>
</section>`;

export const FinishedJobs = ({ jobs }) => html`<section class="stack" aria-labelledby="finished">
  <div class="row spread"><h2 id="finished">Finished</h2><a class="small" href="#/jobs">All jobs</a></div>
  <div class="card flush"><${Table} caption="Jobs that finished" rows=${jobs} rowKey=${(job) => job.id} columns=${[
    { title: "Job", cell: name },
    { title: "Model", cell: (job) => html`<span class="mono small wrap">${job.fine_tuned_model}</span>` },
    { title: "Finished", cell: (job) => html`<${When} at=${job.finished_at} />` },
  ]} /></div>
</section>`;
