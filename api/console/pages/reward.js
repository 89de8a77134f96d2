/** A reward function: its source, tried on samples, and its versions. */
import { useState } from "preact/hooks";
import { announce } from "../lib/announce.js";
import { get, post, remove } from "../lib/api.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { FUNCTIONS, sourceOf, START } from "../lib/rewards.js";
import { go, link } from "../lib/router.js";
import { may } from "../lib/session.js";
import { Confirm } from "../parts/confirm.js";
import { Field } from "../parts/field.js";
import { Loading } from "../parts/loading.js";
import { Page as Frame } from "../parts/page.js";
import { Problem } from "../parts/problem.js";
import { FIRST, Samples, samplesOf } from "../rewards/samples.js";
import { Source } from "../rewards/source.js";
import { Trial } from "../rewards/trial.js";
import { Versions } from "../rewards/versions.js";

const BACK = ["#/rewards", "Rewards"];
const NEW = { name: "", source: START };

async function look(id, signal) {
  if (!id) return { saved: NEW, versions: [] };
  const [saved, versions] = await Promise.all([sourceOf(id, signal), get(`${FUNCTIONS}/${encodeURIComponent(id)}/versions`, {}, signal)]);
  return { saved, versions: versions.data };
}

/** @param {{id?: string}} props of a version; without it the function is new */
export function Page({ id }) {
  const { data, error, loading, reload } = useLoad((signal) => look(id, signal), [id]);
  const [samples, setSamples] = useState(FIRST); // stay from version to version
  if (loading) return html`<${Frame} title="Reward function" back=${BACK}><${Loading}>Loading the function<//><//>`;
  if (!data) return html`<${Frame} title="Reward function" back=${BACK}><${Problem} error=${error} retry=${reload} /><//>`;
  return html`<${Edit} key=${data.saved.id ?? "new"} saved=${data.saved} versions=${data.versions} samples=${samples} setSamples=${setSamples} />`;
}

function attempt(make) {
  try {
    return { value: make(), error: null };
  } catch (error) {
    return { value: [], error };
  }
}

function Edit({ saved, versions, samples, setSamples }) {
  const [name, setName] = useState(saved.name);
  const [source, setSource] = useState(saved.source);
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const [deleting, setDeleting] = useState(false);
  const latest = versions[0]?.version;
  const isOld = saved.version < latest;
  const asked = attempt(() => samplesOf(samples));
  async function save(event) {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      const made = await post(FUNCTIONS, { name: name.trim(), source });
      announce(`${made.name} is saved as version ${made.version}.`);
      go(link("rewards", made.id));
    } catch (refusal) {
      setProblem(refusal);
    }
    setBusy(false);
  }
  const same = source === saved.source && !isOld;
  const actions = saved.id && html`
    ${may("jobs.write") && html`<a class="button" href=${`#/new-job?method=reinforcement&reward=${encodeURIComponent(saved.id)}`}>Train with it</a>
      <button class="button danger" onClick=${() => setDeleting(true)}>Delete</button>`}`;
  const lead = saved.id ? `Version ${saved.version}${isOld ? ` of ${latest}. Save it to make it the newest one again.` : ""}` : "Write Python that scores a completion. It runs in a sandbox, with the standard library.";
  return html`<${Frame} title=${saved.id ? html`<span class="mono wrap">${saved.name}</span>` : "New reward function"} lead=${lead} back=${BACK} actions=${actions}>
    <form class="columns" onSubmit=${save}>
      <div class="stack">
        <section class="card stack" aria-label="Function">
          ${!saved.id && html`<${Field} label="Name" hint="1 to 64 letters, digits, '_', '.' or '-'.">${(attributes) => html`<input ...${attributes} class="input mono" required maxlength="64" value=${name} onInput=${(event) => setName(event.target.value)} />`}<//>`}
          <${Source} label="Source" value=${source} change=${setSource} />
          ${problem && html`<${Problem} error=${problem} />`}
          ${may("jobs.write") && html`<div class="row"><button class="button primary" disabled=${busy || (saved.id && same)}>${busy ? "Saving…" : saved.id ? `Save as version ${latest + 1}` : "Save"}</button>
            ${saved.id && same && html`<span class="small quiet">Nothing has changed.</span>`}</div>`}
        </section>
        ${may("jobs.write") && html`<section class="card stack" aria-labelledby="tried"><h2 id="tried">Try it</h2>
          <${Trial} source=${source} samples=${asked.error ? samples : asked.value} check=${() => asked.error} /></section>`}
      </div>
      <div class="stack">
        <${Samples} samples=${samples} change=${setSamples} />
        ${versions.length > 0 && html`<${Versions} versions=${versions} shown=${saved.id} />`}
      </div>
    </form>
    ${deleting && html`<${Confirm} title=${`Delete ${saved.name}?`} action="Delete the function" close=${() => setDeleting(false)}
      act=${async () => (await remove(`${FUNCTIONS}/${encodeURIComponent(saved.id)}`), announce(`${saved.name} is deleted.`), go("#/rewards"))}>
      All its versions are deleted. Jobs keep the source that they were created with.<//>`}
  <//>`;
}
