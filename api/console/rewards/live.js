/** The rewards of a job that runs: edited here, they judge from the next step on. */
import { useState } from "preact/hooks";
import { get, patch } from "../lib/api.js";
import { announce } from "../lib/announce.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { asRequested, FUNCTIONS } from "../lib/rewards.js";
import { Loading } from "../parts/loading.js";
import { Problem } from "../parts/problem.js";
import { RewardEditor } from "./editor.js";
import { Trial } from "./trial.js";

const SAMPLES = 6; // of the step that is shown

/** @param {{path: string, samples: any[]}} props path: of the job. samples: rollouts to try a function on */
export function LiveRewards({ path, samples }) {
  const [open, setOpen] = useState(false);
  return html`<section class="card stack" aria-label="Rewards of this job">
    <div class="row spread"><div><h2>Rewards</h2><p class="small quiet">Change them while the job runs. A new version scores from the next step on.</p></div>
      <button class="button" aria-expanded=${String(open)} onClick=${() => setOpen(!open)}>${open ? "Close" : "Edit the rewards"}</button></div>
    ${open && html`<${Edit} path=${path} samples=${samples} />`}
  </section>`;
}

async function look(path, signal) {
  const [rewards, functions] = await Promise.all([get(`${path}/rewards`, {}, signal), get(FUNCTIONS, {}, signal)]);
  return { rewards, functions: functions.data };
}

function Edit({ path, samples }) {
  const { data, error, reload, set } = useLoad((signal) => look(path, signal), [path]);
  const [entries, setEntries] = useState(null);
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  if (!data) return error ? html`<${Problem} error=${error} retry=${reload} />` : html`<${Loading}>Loading the rewards<//>`;
  async function save() {
    setBusy(true);
    setProblem(null);
    try {
      const rewards = await patch(`${path}/rewards`, { reward_functions: entries.map(asRequested) });
      set({ ...data, rewards });
      setEntries(null);
      announce(`Version ${rewards.version} of the rewards scores from the next step on.`);
    } catch (refusal) {
      setProblem(refusal);
    }
    setBusy(false);
  }
  const tried = samples.slice(0, SAMPLES).map((row) => ({ completion: row.completion, item: { messages: row.prompt, ...row.item } }));
  return html`<p class="small quiet">Version ${data.rewards.version} is the newest one.</p>
    <${RewardEditor} entries=${entries ?? data.rewards.reward_functions} change=${setEntries} functions=${data.functions}>
      ${(entry) => html`<${Trial} source=${entry.grader.source} samples=${tried} what="completion" />`}
    <//>
    ${problem && html`<${Problem} error=${problem} />`}
    <div class="row"><button class="button primary" disabled=${!entries || busy} onClick=${save}>Save as version ${data.rewards.version + 1}</button>
      ${entries && html`<button class="button plain" onClick=${() => setEntries(null)}>Discard the changes</button>`}</div>`;
}
