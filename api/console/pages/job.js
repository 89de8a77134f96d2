/** One job: where it is, its curves, its result, and what can be done about it. */
import { get } from "../lib/api.js";
import { reachedIn, useCurves } from "../lib/curves.js";
import { html } from "../lib/html.js";
import { etaOf, hasEnded, methodOf, nameOf, phaseOf, writesRollouts } from "../lib/jobs.js";
import { useLoad } from "../lib/load.js";
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

const FIRST_MESSAGES = 100;
const NEW_MESSAGES = 10; // that a later look asks for

/** The job and its messages, in one look; a later look asks only for the newest. */
async function look(id, signal, before) {
  const path = `/v1/fine_tuning/jobs/${encodeURIComponent(id)}`;
  const [job, events] = await Promise.all([get(path, {}, signal), get(`${path}/events`, { type: "message", limit: before ? NEW_MESSAGES : FIRST_MESSAGES }, signal)]);
  if (!before) return { job, events };
  const seen = new Set(before.events.data.map((event) => event.id));
  const fresh = events.data.filter((event) => !seen.has(event.id));
  if (fresh.length === NEW_MESSAGES) return look(id, signal); // there may be others in between
  return { job, events: { ...before.events, data: [...fresh, ...before.events.data] } };
}

export function Page({ id }) {
  const { data, error, loading, reload, set } = useLoad((signal, before) => look(id, signal, before), [id], (seen) => (hasEnded(seen.job) ? null : 2.5));
  if (loading) return html`<${Frame} title="Job" back=${BACK}><${Loading}>Loading the job<//><//>`;
  if (!data) return html`<${Frame} title="Job" back=${BACK}><${Problem} error=${error} retry=${reload} /><//>`;
  const changed = (job) => {
    set({ ...data, job });
    reload();
  };
  return html`<${Shown} job=${data.job} events=${data.events} error=${error} changed=${changed} />`;
}

function Shown({ job, events, error, changed }) {
  const ended = hasEnded(job);
  const { series, error: curvesError } = useCurves(job.id, !ended);
  const reached = reachedIn(series);
  const warnings = events.data
    .filter((event) => event.level === "warn" && event.data?.step)
    .map((event) => ({ step: event.data.step, message: event.message }));
  const title = html`<span class="row">${nameOf(job)} <${Status} of=${job.status} /></span>`;
  const lead = `${methodOf(job)} on ${job.model}. ${phaseOf(job, reached)}`;
  const actions = html`${writesRollouts(job) && html`<a class="button" href=${link("jobs", job.id, "rollouts")}>Rollouts</a>`}<${JobActions} job=${job} changed=${changed} />`;
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
        <${Checkpoints} job=${job} />
        <${Checks} job=${job} />
        <${Events} page=${events} />
        <${Settings} job=${job} />
      </div>
    </div>
  <//>`;
}
