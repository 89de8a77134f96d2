import { get } from "../lib/api.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { Problem } from "./problem.js";

/** Functions that need no parameters of their own: others are set up in code. */
const simple = (each) => !each.parameters.required?.length && !each.sandboxed;

/** Which functions reward a completion, and how much each counts. */
export function Rewards({ chosen, choose }) {
  const { data, error } = useLoad((signal) => get("/v1/reward_functions", {}, signal));
  if (error) return html`<${Problem} error=${error} />`;
  const weight = (name) => chosen.find((each) => each.name === name)?.weight;
  const toggle = (name) => choose(weight(name) === undefined ? [...chosen, { name, weight: 1 }] : chosen.filter((each) => each.name !== name));
  const weigh = (name, value) => choose(chosen.map((each) => (each.name === name ? { name, weight: value } : each)));
  return html`<section class="card stack" aria-labelledby="rewards">
    <h2 id="rewards">Rewards</h2>
    <p class="small quiet">A completion's reward is the weighted sum. Graders with parameters, and your own code, are set up in code: see "As code".</p>
    <ul class="lines">${(data?.data ?? []).filter(simple).map((each) => html`<li key=${each.name} class="row spread">
      <label class="choice top"><input type="checkbox" checked=${weight(each.name) !== undefined} onChange=${() => toggle(each.name)} />
        <span><code>${each.name}</code><span class="block small quiet">${each.description}</span></span></label>
      ${weight(each.name) !== undefined && html`<label class="row small">Weight <input class="input weight" type="number" step="any" value=${weight(each.name)} onInput=${(event) => weigh(each.name, Number(event.target.value))} /></label>`}
    </li>`)}</ul>
  </section>`;
}
