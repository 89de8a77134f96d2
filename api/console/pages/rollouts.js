/** What a job tried, step by step: each prompt and its group of completions, best to worst. */
import { useState } from "preact/hooks";
import { all, get, url } from "../lib/api.js";
import { html } from "../lib/html.js";
import { hasEnded, nameOf, writesRollouts } from "../lib/jobs.js";
import { useLoad } from "../lib/load.js";
import { extremes, groupsOf, press, stepSummary } from "../lib/rollouts.js";
import { link } from "../lib/router.js";
import { may } from "../lib/session.js";
import { Empty } from "../parts/empty.js";
import { Loading } from "../parts/loading.js";
import { Page as Frame } from "../parts/page.js";
import { Problem } from "../parts/problem.js";
import { LiveRewards } from "../rewards/live.js";
import { RolloutGroup } from "../rollouts/group.js";
import { Pairs } from "../rollouts/pairs.js";
import { StepSlider } from "../rollouts/step-slider.js";

const AT_ONCE = 50; // groups on the page before someone asks for more
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
  if (data.last === 0) return html`<${Frame} title="Rollouts" back=${back}><div class="card"><${Nothing} job=${data.job} /></div><//>`;
  return html`<${Shown} path=${path} back=${back} data=${data} error=${error} wanted=${wanted} choose=${setWanted} />`;
}

function Shown({ path, back, data: { job, last, step, rows }, error, wanted, choose }) {
  const [picks, setPicks] = useState({}); // of all steps, by step and prompt
  const at = wanted ?? last;
  const groups = groupsOf(rows);
  const keyOf = (row) => `${row.step} ${row.group}`;
  const pickAll = () => setPicks({ ...picks, ...Object.fromEntries(groups.map((group) => [keyOf(group[0]), extremes(group)]).filter(([, pair]) => pair)) });
  const tools = Boolean(job.method.reinforcement?.tools); // a pair holds one answer each, and no turns before it
  const actions = html`${!tools && html`<a class="button" href=${url(`${path}/rollouts/export`, { format: "dpo" })} download>Download pairs for DPO</a>`}
    <a class="button" href=${url(`${path}/rollouts/export`)} download>Download all</a>`;
  return html`<${Frame} title="Rollouts" back=${back} actions=${actions} lead=${`What the job ${nameOf(job)} wrote while it trained. Each completion is compared with the others of its prompt.`}>
    ${error && html`<${Problem} error=${error} />`}
    <${StepSlider} last=${last} step=${at} choose=${(chosen) => choose(chosen === last && !hasEnded(job) ? null : chosen)}>
      ${step === at ? stepSummary(rows) : "Loading the step…"}
    <//>
    ${!hasEnded(job) && job.method.type === "reinforcement" && may("jobs.write") && html`<${LiveRewards} path=${path} samples=${rows} />`}
    ${!tools && html`<${Pairs} name=${nameOf(job)} picks=${Object.values(picks)} pickAll=${pickAll} clear=${() => setPicks({})} />`}
    <${Groups} key=${step} path=${path} groups=${groups} pickOf=${(group) => picks[keyOf(group[0])] ?? {}}
      press=${(side, row) => setPicks({ ...picks, [keyOf(row)]: press(picks[keyOf(row)] ?? {}, side, row) })} />
  <//>`;
}

function Groups({ path, groups, pickOf, press: pressed }) {
  const [shown, setShown] = useState(AT_ONCE);
  if (groups.length === 0) return html`<div class="card"><${Empty} title="No rollouts are kept of this step">Choose another step.<//></div>`;
  return html`<div class="stack">
    ${groups.slice(0, shown).map((group) => html`<${RolloutGroup} key=${group[0].group} path=${path} rows=${group} pick=${pickOf(group)} press=${pressed} />`)}
    ${shown < groups.length && html`<div><button class="button" onClick=${() => setShown(shown + AT_ONCE)}>Show more prompts (${groups.length - shown} left)</button></div>`}
  </div>`;
}

const Nothing = ({ job }) =>
  writesRollouts(job)
    ? html`<${Empty} title="No rollouts yet">${hasEnded(job) ? "The job ended before its first step, or its rollouts are no longer kept." : "They appear here after the job's first step."}<//>`
    : html`<${Empty} title="This job has no rollouts">Only jobs with the methods GRPO and RLHF write completions while they train.<//>`;
