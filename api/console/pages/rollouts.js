/** What a job tried, step by step: each prompt and its group of completions, best to worst. */
import { useState } from "preact/hooks";
import { all, get, url } from "../lib/api.js";
import { html } from "../lib/html.js";
import { hasEnded, nameOf } from "../lib/jobs.js";
import { useLoad } from "../lib/load.js";
import { groupsOf, stepSummary } from "../lib/rollouts.js";
import { link } from "../lib/router.js";
import { Empty } from "../parts/empty.js";
import { Loading } from "../parts/loading.js";
import { Page as Frame } from "../parts/page.js";
import { Problem } from "../parts/problem.js";
import { RolloutGroup } from "../parts/rollout-group.js";
import { StepSlider } from "../parts/step-slider.js";

const AT_ONCE = 10; // groups on the page before someone asks for more
const ROWS_AT_MOST = 2000; // of one step
const REFRESH = 5; // seconds, while the job runs

/** The job, the last step that has rollouts, and the rollouts of `wanted`; null stands for the last step. */
async function look(path, wanted, signal) {
  const [job, newest] = await Promise.all([get(path, {}, signal), get(`${path}/rollouts`, { sort: "-step", limit: 1 }, signal)]);
  const last = newest.data[0]?.step ?? 0;
  const step = wanted ?? last;
  const rows = last ? await all(`${path}/rollouts`, { step, limit: 100 }, ROWS_AT_MOST, signal) : [];
  return { job, last, step, rows };
}

export function Page({ id }) {
  const path = `/v1/fine_tuning/jobs/${encodeURIComponent(id)}`;
  const [wanted, setWanted] = useState(null);
  const { data, error, loading, reload } = useLoad((signal) => look(path, wanted, signal), [id, wanted], (seen) => (hasEnded(seen.job) || wanted !== null ? null : REFRESH));
  const back = [link("jobs", id), "Job"];
  if (loading) return html`<${Frame} title="Rollouts" back=${back}><${Loading}>Loading rollouts<//><//>`;
  if (!data) return html`<${Frame} title="Rollouts" back=${back}><${Problem} error=${error} retry=${reload} /><//>`;
  const { job, last, step, rows } = data;
  if (last === 0) return html`<${Frame} title="Rollouts" back=${back}><div class="card"><${Nothing} job=${job} /></div><//>`;
  const actions = html`<a class="button" href=${url(`${path}/rollouts/export`, { format: "dpo" })} download>Download pairs for DPO</a>
    <a class="button" href=${url(`${path}/rollouts/export`, {})} download>Download all</a>`;
  return html`<${Frame} title="Rollouts" back=${back} actions=${actions} lead=${`What ${nameOf(job)} wrote while it trained. Each completion is compared with the others of its prompt.`}>
    ${error && html`<${Problem} error=${error} />`}
    <${StepSlider} last=${last} step=${wanted ?? last} choose=${(chosen) => setWanted(chosen === last && !hasEnded(job) ? null : chosen)}>
      ${step === (wanted ?? last) ? stepSummary(rows) : "Loading the step…"}
    <//>
    <${Groups} key=${step} rows=${rows} />
  <//>`;
}

function Groups({ rows }) {
  const [shown, setShown] = useState(AT_ONCE);
  const groups = groupsOf(rows);
  if (groups.length === 0) return html`<div class="card"><${Empty} title="No rollouts are kept of this step">Choose another step.<//></div>`;
  return html`<div class="stack wide">
    ${groups.slice(0, shown).map((group) => html`<${RolloutGroup} key=${group[0].group} rows=${group} />`)}
    ${shown < groups.length && html`<div><button class="button" onClick=${() => setShown(shown + AT_ONCE)}>Show more prompts (${groups.length - shown} left)</button></div>`}
  </div>`;
}

const Nothing = ({ job }) =>
  ["reinforcement", "rlhf"].includes(job.method?.type)
    ? html`<${Empty} title="No rollouts yet">${hasEnded(job) ? "The job ended before its first step, or its rollouts are no longer kept." : "They appear here after the job's first step."}<//>`
    : html`<${Empty} title="This job has no rollouts">Only jobs with the methods GRPO and RLHF write completions while they train.<//>`;
