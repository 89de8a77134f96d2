import { useEffect, useState } from "preact/hooks";
import { get } from "../lib/api.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { entryOf, FUNCTIONS, isOwn, isSimple } from "../lib/rewards.js";
import { link } from "../lib/router.js";
import { Problem } from "../parts/problem.js";

/**
 * Which functions reward a completion, and how much each counts.
 *
 * @param {{chosen: any[], choose: (change: (before: any[]) => any[]) => void, first?: string | null}} props
 *   chosen: entries. first: the id of one of the project's own, chosen at the start
 */
export function RewardChoice({ chosen, choose, first }) {
  const { data, error } = useLoad((signal) => get(FUNCTIONS, {}, signal));
  const [problem, setProblem] = useState(null);
  const take = (each) => entryOf(each).then((entry) => choose((before) => [...before.filter(({ name }) => name !== entry.name), entry])).catch(setProblem);
  useEffect(() => {
    if (first && chosen.length === 0) take({ id: first });
  }, [first]);
  if (error) return html`<${Problem} error=${error} />`;
  const weight = (name) => chosen.find((each) => each.name === name)?.weight;
  const toggle = (each) => (weight(each.name) === undefined ? take(each) : choose((before) => before.filter(({ name }) => name !== each.name)));
  const weigh = (name, value) => choose((before) => before.map((each) => (each.name === name ? { ...each, weight: value } : each)));
  return html`<section class="card stack" aria-labelledby="rewards">
    <h2 id="rewards">Rewards</h2>
    <p class="small quiet">A completion's reward is the weighted sum. <a href="#/new-reward">Write a function of your own</a>, or set up graders with parameters in code: see "As code".</p>
    ${problem && html`<${Problem} error=${problem} />`}
    <ul class="lines">${(data?.data ?? []).filter(isSimple).map((each) => html`<li key=${each.name} class="row spread">
      <label class="choice top"><input type="checkbox" checked=${weight(each.name) !== undefined} onChange=${() => toggle(each)} />
        <span><code>${each.name}</code><span class="block small quiet">${each.description}</span></span></label>
      ${isOwn(each) && html`<a class="small" href=${link("rewards", each.id)} aria-label=${`Open ${each.name}`}>Open</a>`}
      ${weight(each.name) !== undefined && html`<label class="row small">Weight <input class="input weight" type="number" step="any" value=${weight(each.name)} onInput=${(event) => weigh(each.name, Number(event.target.value))} /></label>`}
    </li>`)}</ul>
  </section>`;
}
