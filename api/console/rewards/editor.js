/** Which functions reward a completion, how much each counts, and the source of those that are somebody's own. */
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { entryOf, freeName, isSimple, python } from "../lib/rewards.js";
import { Problem } from "../parts/problem.js";
import { Source } from "./source.js";

/**
 * @param {{entries: any[], change: (entries: any[]) => void, functions: any[], children?: (entry: any) => any}} props
 *   functions: what GET /v1/reward_functions lists. children: what is shown below an entry of somebody's own
 */
export function RewardEditor({ entries, change, functions, children }) {
  const replace = (place, entry) => change(entries.map((each, number) => (number === place ? entry : each)));
  return html`<div class="stack">
    <ul class="lines">${entries.map((entry, place) => html`<li key=${place} class="stack tight"><${Entry} entry=${entry} change=${(made) => replace(place, made)}
      remove=${entries.length > 1 ? () => change(entries.filter((_, number) => number !== place)) : null} children=${children} /></li>`)}</ul>
    <${Add} entries=${entries} add=${(entry) => change([...entries, entry])} functions=${functions} />
  </div>`;
}

function Entry({ entry, change, remove, children }) {
  const { name, weight, grader } = entry;
  const own = grader.type === "python";
  const parameters = Object.entries(grader.parameters ?? {}).filter(([, value]) => value !== null && value !== false);
  return html`<div class="row spread">
      <code class="wrap">${name}</code>
      <div class="row"><label class="row small">Weight <input class="input weight" type="number" step="any" aria-label=${`Weight of ${name}`} value=${weight} onInput=${(event) => change({ ...entry, weight: Number(event.target.value) })} /></label>
        ${remove && html`<button type="button" class="button plain small" aria-label=${`Remove ${name}`} onClick=${remove}>Remove</button>`}</div>
    </div>
    ${own && html`<${Source} label=${`Source of ${name}`} value=${grader.source} change=${(source) => change({ ...entry, grader: { type: "python", name, source } })} />`}
    ${own && children?.(entry)}
    ${!own && parameters.length > 0 && html`<p class="small faint mono wrap">${parameters.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(", ")}</p>`}
    ${!own && grader.type !== "function" && html`<p class="small faint">A grader of the type ${grader.type}. It stays as it is.</p>`}`;
}

/** Another function: one that comes with Fettle, one of the project, or new Python. */
function Add({ entries, add, functions }) {
  const [chosen, setChosen] = useState("");
  const [error, setError] = useState(null);
  const taken = new Set(entries.map((entry) => entry.name));
  const known = functions.filter((each) => isSimple(each) && !taken.has(each.name));
  async function take() {
    setError(null);
    const found = known.find((each) => each.name === chosen);
    try {
      add(found ? await entryOf(found) : python(freeName(entries, "my_reward")));
      setChosen("");
    } catch (problem) {
      setError(problem);
    }
  }
  return html`<div class="row">
      <select class="input short" aria-label="Function to add" value=${chosen} onChange=${(event) => setChosen(event.target.value)}>
        <option value="">New Python function</option>
        ${known.map((each) => html`<option key=${each.name} value=${each.name}>${each.name}</option>`)}
      </select>
      <button type="button" class="button small" onClick=${take}>Add</button>
    </div>
    ${error && html`<${Problem} error=${error} />`}`;
}
