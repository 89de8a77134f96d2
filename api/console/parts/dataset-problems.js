import { html } from "../lib/html.js";
import { many } from "../lib/format.js";

/** What is wrong with a dataset, each problem at its line. */
export const DatasetProblems = ({ problems, total, notes }) => html`<section class="stack" aria-labelledby=${notes ? "notes" : "problems"}>
  <h2 id=${notes ? "notes" : "problems"}>${notes ? "Notes" : "Problems"}</h2>
  <ul class="card flush lines boxed">${problems.map((problem, place) => html`<li key=${place} class="stack tight">
    <div class="row small"><span class="tag">Line ${problem.line}</span>${problem.path && html`<code class="wrap">${problem.path}</code>`}</div>
    <strong class="wrap">${problem.message}</strong>
    <span class="quiet wrap">${problem.fix}</span>
  </li>`)}</ul>
  ${total > problems.length && html`<p class="small quiet">These are the first ${problems.length} of ${many(total, "problem")}.</p>`}
</section>`;
