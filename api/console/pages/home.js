/** Home: what runs, what waits and why, what finished, and what needs a person. */
import { get } from "../lib/api.js";
import { many } from "../lib/format.js";
import { html } from "../lib/html.js";
import { hasEnded } from "../lib/jobs.js";
import { useLoad } from "../lib/load.js";
import { may } from "../lib/session.js";
import { Empty } from "../parts/empty.js";
import { FirstSteps } from "../parts/first-steps.js";
import { FinishedJobs, RunningJobs, WaitingJobs } from "../parts/job-lists.js";
import { Loading } from "../parts/loading.js";
import { Needs, needsOf } from "../parts/needs.js";
import { Page as Frame } from "../parts/page.js";
import { Problem } from "../parts/problem.js";

const RECENT = 100;

async function overview(signal) {
  const [jobs, workers, comparisons] = await Promise.all([
    may("jobs.read") ? get("/v1/fine_tuning/jobs", { limit: RECENT }, signal).then((page) => page.data) : [],
    may("jobs.read") ? get("/v1/workers", {}, signal).then((page) => page.data) : [],
    may("comparisons.read") ? get("/v1/comparisons", { limit: 20 }, signal).then((page) => page.data) : [],
  ]);
  const running = jobs.filter((job) => job.status === "running");
  const reached = await Promise.all(running.slice(0, 8).map((job) => reachedBy(job, signal)));
  return { jobs, workers, comparisons, reached: Object.fromEntries(reached) };
}

/** The last step of a running job. */
async function reachedBy(job, signal) {
  const page = await get(`/v1/fine_tuning/jobs/${job.id}/events`, { limit: 10 }, signal);
  const newest = page.data.find((event) => event.type === "metrics");
  return [job.id, newest ? { step: newest.data.step, total: newest.data.total_steps } : {}];
}

function summary(running, waiting) {
  if (running && waiting) return `${many(running, "job")} ${running === 1 ? "is" : "are"} running and ${waiting} ${waiting === 1 ? "waits" : "wait"}.`;
  if (running) return `${many(running, "job")} ${running === 1 ? "is" : "are"} running.`;
  if (waiting) return `${many(waiting, "job")} ${waiting === 1 ? "waits" : "wait"}.`;
  return "Nothing is running.";
}

export function Page() {
  const { data, error, loading, reload } = useLoad(overview, [], (seen) => (seen.jobs.every(hasEnded) ? 10 : 3));
  if (loading) return html`<${Frame} title="Home"><${Loading}>Loading your jobs<//><//>`;
  if (!data) return html`<${Frame} title="Home"><${Problem} error=${error} retry=${reload} /><//>`;
  const of = (status) => data.jobs.filter((job) => job.status === status);
  const [running, waiting, finished] = [of("running"), of("queued"), of("succeeded")];
  const needs = needsOf(data);
  return html`<${Frame} title="Home" lead=${data.jobs.length ? summary(running.length, waiting.length) : null}>
    ${error && html`<${Problem} error=${error} />`}
    ${needs.length > 0 && html`<${Needs} needs=${needs} />`}
    ${data.jobs.length === 0 && html`<${FirstSteps} />`}
    ${running.length > 0 && html`<${RunningJobs} jobs=${running} reached=${data.reached} />`}
    ${waiting.length > 0 && html`<${WaitingJobs} jobs=${waiting} />`}
    ${finished.length > 0 && html`<${FinishedJobs} jobs=${finished.slice(0, 5)} />`}
    ${data.jobs.length > 0 && running.length + waiting.length + finished.length + needs.length === 0 &&
    html`<section class="card"><${Empty} title="All quiet" action=${html`<a class="button" href="#/jobs">See all jobs</a>`}>No job runs or waits.<//></section>`}
  <//>`;
}
