/** Reward functions: the project's own, and those that come with Fettle. */
import { get } from "../lib/api.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { FUNCTIONS, isOwn } from "../lib/rewards.js";
import { link } from "../lib/router.js";
import { may } from "../lib/session.js";
import { Empty } from "../parts/empty.js";
import { Loading } from "../parts/loading.js";
import { Page as Frame } from "../parts/page.js";
import { Problem } from "../parts/problem.js";
import { Table } from "../parts/table.js";
import { When } from "../parts/when.js";

const OWN = [
  { title: "Function", cell: (each) => html`<a class="wrap mono" href=${link("rewards", each.id)}>${each.name}</a>` },
  { title: "Version", end: true, cell: (each) => each.version },
  { title: "Saved", cell: (each) => html`<${When} at=${each.created_at} />` },
];
const BUILT_IN = [
  { title: "Function", cell: (each) => html`<code>${each.name}</code>` },
  { title: "What it scores", cell: (each) => html`<span class="small wrap">${each.description}</span>` },
];

export function Page() {
  const { data, error, loading, reload } = useLoad((signal) => get(FUNCTIONS, {}, signal));
  const own = data?.data.filter(isOwn) ?? [];
  const write = may("jobs.write") && html`<a class="button primary" href="#/new-reward">Write a function</a>`;
  return html`<${Frame} title="Rewards" lead="A reward function scores what a model writes. GRPO makes the model write more of what scores high." actions=${own.length > 0 && write}>
    ${error && html`<${Problem} error=${error} retry=${reload} />`}
    ${loading && html`<div class="card"><${Loading}>Loading reward functions<//></div>`}
    ${data && html`<section class="stack" aria-labelledby="own"><h2 id="own">Yours</h2><div class="card flush">
      ${own.length ? html`<${Table} caption="Your reward functions" columns=${OWN} rows=${own} rowKey=${(each) => each.id} />` : html`<${Empty} title="No functions of your own yet" action=${write}>Write one in Python, and see what it scores before a job uses it.<//>`}
    </div></section>
    <section class="stack" aria-labelledby="built-in"><h2 id="built-in">Built in</h2><div class="card flush">
      <${Table} caption="Built-in reward functions" columns=${BUILT_IN} rows=${data.data.filter((each) => !isOwn(each))} rowKey=${(each) => each.name} />
    </div></section>`}
  <//>`;
}
