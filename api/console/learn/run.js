/** The live run: the job is created, its curve grows, and the page may be closed meanwhile. */
import { useState } from "preact/hooks";
import { reachedIn } from "../lib/curves.js";
import { useJob } from "../lib/follow.js";
import { html } from "../lib/html.js";
import { etaOf, hasEnded, phaseOf } from "../lib/jobs.js";
import { chartsOf } from "../lib/metrics.js";
import { link } from "../lib/router.js";
import { Curve } from "../parts/curve.js";
import { JobProgress } from "../parts/job-progress.js";
import { Loading } from "../parts/loading.js";
import { Problem } from "../parts/problem.js";
import { Status } from "../parts/status.js";
import { Result } from "./result.js";
import { startFromFiles, startFromVotes } from "./start.js";
import { progressOf, startOver } from "./store.js";

/** @param {{lesson: any, votes: number}} props votes: that the learner has made */
export function Run({ lesson, votes }) {
  const { job, guess } = progressOf(lesson.id);
  const [doing, setDoing] = useState("");
  const [problem, setProblem] = useState(null);
  async function begin() {
    setProblem(null);
    await (lesson.people ? startFromVotes : startFromFiles)(lesson, setDoing).catch(setProblem);
    setDoing("");
  }
  if (job) return html`<${Watched} key=${job} lesson=${lesson} id=${job} />`;
  const missing = guess === undefined ? "Make your guess first." : lesson.people && votes === 0 ? "Vote on at least one item first." : "";
  return html`<section class="card stack" aria-labelledby="run">
    <h2 id="run">Run it</h2>
    <p class="measure">${lesson.run}</p>
    ${problem && html`<${Problem} error=${problem} />`}
    <div class="row"><button class="button primary" disabled=${missing !== "" || doing !== ""} onClick=${begin}>${doing ? `${doing}…` : "Train the starter"}</button>
      ${missing && html`<span class="small quiet">${missing}</span>`}</div>
  </section>`;
}

function Watched({ lesson, id }) {
  const { job, series, error, reload } = useJob(id);
  const again = html`<button class="button small" onClick=${() => startOver(lesson.id)}>Start over</button>`;
  if (error?.status === 404) return html`<p class="message warn">The job of this lesson is no longer there. ${again}</p>`;
  if (!job) return error ? html`<${Problem} error=${error} retry=${reload} />` : html`<div class="card"><${Loading}>Loading the job<//></div>`;
  return html`<${Live} lesson=${lesson} job=${job} series=${series} error=${error} again=${again} />
    ${job.status === "succeeded" && html`<${Result} lesson=${lesson} job=${job} again=${again} />`}`;
}

function Live({ lesson, job, series, error, again }) {
  const ended = hasEnded(job);
  const reached = reachedIn(series);
  const charts = chartsOf(Object.keys(series ?? {}));
  const shown = lesson.curves.map((title) => charts.find((chart) => chart.title === title)).filter(Boolean);
  return html`<section class="card stack" aria-labelledby="run">
    <div class="row spread"><h2 id="run">The run</h2><${Status} of=${job.status} /></div>
    ${error && html`<${Problem} error=${error} />`}
    ${!ended && html`<${JobProgress} reached=${reached} name="the lesson" />`}
    <p class="small quiet" role="status">${phaseOf(job, reached)} ${etaOf(job)}</p>
    ${job.error?.message && html`<p class="message bad">${job.error.message}</p>`}
    ${shown.length > 0 && html`<div class="charts lesson-curves">${shown.map((chart) => html`<${Curve} key=${chart.title} chart=${{ ...chart, good: lesson.read[chart.title] ?? chart.good }} series=${series} log=${false} smooth=${false} warnings=${[]} />`)}</div>`}
    <div class="row small"><a href=${link("jobs", job.id)}>Open the job's own page</a>${ended && job.status !== "succeeded" && again}
      ${!ended && html`<span class="faint">You can close this page. The job goes on, and the lesson finds it again.</span>`}</div>
  </section>`;
}
