/** The best completion of a prompt against the best that it had at an earlier step. */
import { useState } from "preact/hooks";
import { get } from "../lib/api.js";
import { differences } from "../lib/differences.js";
import { figure } from "../lib/format.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { groupsOf, meanReward } from "../lib/rollouts.js";
import { Loading } from "../parts/loading.js";
import { Problem } from "../parts/problem.js";
import { Said } from "../parts/said.js";
import { Select } from "../parts/select.js";

/** @param {{path: string, best: any}} props path: of the job. best: of the completions that are shown */
export function Earlier({ path, best }) {
  const [open, setOpen] = useState(false);
  return html`<details class="details" onToggle=${(event) => setOpen(event.target.open)}>
    <summary>Compare with an earlier step</summary>
    ${open && html`<${Steps} path=${path} best=${best} />`}
  </details>`;
}

/** Earlier completions of the same prompt, the newest steps first, as far as one page reaches. */
const look = (path, best, signal) => get(`${path}/rollouts`, { prompt_of: best.id, sort: "-step", after: `rollout-${best.step}-0`, limit: 100 }, signal).then((page) => page.data);

function Steps({ path, best }) {
  const { data, error, reload } = useLoad((signal) => look(path, best, signal), [path, best.id]);
  const [chosen, setChosen] = useState(null);
  if (!data) return error ? html`<${Problem} error=${error} retry=${reload} />` : html`<${Loading}>Looking for this prompt in earlier steps<//>`;
  const steps = [...new Set(data.map((row) => row.step))];
  if (steps.length === 0) return html`<p class="small quiet">No earlier step had this prompt.</p>`;
  const step = chosen ?? steps[0];
  const [then] = groupsOf(data.filter((row) => row.step === step));
  const name = (each) => `Step ${each}, mean reward ${figure(meanReward(data.filter((row) => row.step === each)))}`;
  return html`<div class="stack tight">
    <${Select} inline label="Compare with" value=${String(step)} choose=${(value) => setChosen(Number(value))} options=${steps.map((each) => [String(each), name(each)])} />
    <${Difference} then=${then[0]} now=${best} />
  </div>`;
}

function Difference({ then, now }) {
  const parts = differences(then.completion, now.completion);
  const rewards = `The best at step ${then.step} had the reward ${figure(then.reward)}, and at step ${now.step} ${figure(now.reward)}.`;
  if (then.completion === now.completion) return html`<p class="small">${rewards} Both say the same.</p>`;
  if (parts === null) return html`<p class="small">${rewards}</p>
    <div class="sides"><${Said} who=${`Step ${then.step}`} what=${then.completion} /><${Said} who=${`Step ${now.step}`} what=${now.completion} /></div>`;
  return html`<p class="small">${rewards} <del>Struck out</del> is gone, <ins>underlined</ins> is new.</p>
    <div class="said">${parts.map(({ kind, text }, place) => (kind === "same" ? text : kind === "gone" ? html`<del key=${place}>${text}</del>` : html`<ins key=${place}>${text}</ins>`))}</div>`;
}
