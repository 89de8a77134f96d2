/** One job: where it is, its curves, its result, and what can be done about it. */
import { reachedIn } from "../lib/curves.js";
import { useJob } from "../lib/follow.js";
import { html } from "../lib/html.js";
import { etaOf, methodOf, nameOf, phaseOf, writesRollouts } from "../lib/jobs.js";
import { link } from "../lib/router.js";
import { Checks } from "../parts/checks.js";
import { Checkpoints } from "../parts/checkpoints.js";
import { Curves } from "../parts/curves.js";
import { Evaluation } from "../parts/evaluation.js";
import { Events } from "../parts/events.js";
import { JobActions } from "../parts/job-actions.js";
import { JobFacts } from "../parts/job-facts.js";
import { JobFailure } from "../parts/job-failure.js";
import { JobProgress } from "../parts/job-progress.js";
import { JobResult } from "../parts/job-result.js";
import { Loading } from "../parts/loading.js";
import { Page as Frame } from "../parts/page.js";
import { Problem } from "../parts/problem.js";
import { Settings } from "../parts/settings.js";
import { Status } from "../parts/status.js";

const BACK = ["#/jobs", "Jobs"];

export function Page({ id }) {
  const seen = useJob(id);
  if (!seen.job && !seen.error) return html`<${Frame} title="Job" back=${BACK}><${Loading}>Loading the job<//><//>`;
  if (!seen.job) return html`<${Frame} title="Job" back=${BACK}><${Problem} error=${seen.error} retry=${seen.reload} /><//>`;
  return html`<${Shown} ...${seen} />`;
}

function Shown({ job, messages, series, error, curvesError, set, grow }) {
  const reached = reachedIn(series);
  const warnings = messages.rows
    .filter((event) => event.level === "warn" && event.data?.step)
    .map((event) => ({ step: event.data.step, message: event.message }));
  const title = html`<span class="row">${nameOf(job)} <${Status} of=${job.status} /></span>`;
  const lead = `${methodOf(job)} on ${job.model}. ${phaseOf(job, reached)}`;
  const actions = html`${writesRollouts(job) && html`<a class="button" href=${link("jobs", job.id, "rollouts")}>Rollouts</a>`}<${JobActions} job=${job} changed=${set} />`;
  return html`<${Frame} title=${title} lead=${lead} back=${BACK} actions=${actions}>
    ${error && html`<${Problem} error=${error} />`}
    ${job.status === "running" && html`<div class="card stack tight">
      <${JobProgress} reached=${reached} name=${nameOf(job)} />
      ${etaOf(job) && html`<p class="small quiet">${etaOf(job)}</p>`}
    </div>`}
    <${JobFailure} job=${job} />
    <${JobResult} job=${job} />
    <div class="columns">
      <div class="stack wide">
        <${Curves} job=${job} series=${series} error=${curvesError} warnings=${warnings} />
        <${Evaluation} job=${job} />
      </div>
      <div class="stack">
        <${JobFacts} job=${job} />
        <${Checkpoints} job=${job} news=${messages.rows[0]?.id} />
        <${Checks} job=${job} />
        <${Events} messages=${messages} grow=${grow} />
        <${Settings} job=${job} />
      </div>
    </div>
  <//>`;
}
