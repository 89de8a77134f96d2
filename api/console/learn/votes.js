/** The learner's own votes: the starter writes a few answers, and the learner says which are better. */
import { useState } from "preact/hooks";
import { get } from "../lib/api.js";
import { generationOf, isMoving, pathOf, votePath } from "../lib/comparisons.js";
import { many } from "../lib/format.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { Problem } from "../parts/problem.js";
import { startComparison } from "./start.js";
import { progressOf, startOver } from "./store.js";

export function Votes({ lesson, changed }) {
  const { comparison } = progressOf(lesson.id);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(null);
  async function begin() {
    setBusy(true);
    setProblem(null);
    await startComparison(lesson).catch(setProblem);
    setBusy(false);
  }
  return html`<section class="card stack" aria-labelledby="votes">
    <h2 id="votes">${lesson.people.title}</h2>
    <p class="measure">${lesson.people.words}</p>
    ${problem && html`<${Problem} error=${problem} />`}
    ${comparison
      ? html`<${Made} key=${comparison} lesson=${lesson} id=${comparison} changed=${changed} />`
      : html`<div><button class="button primary" disabled=${busy} onClick=${begin}>${busy ? "Asking the starter…" : "Let the starter write answers"}</button></div>`}
  </section>`;
}

function Made({ lesson, id, changed }) {
  const { job } = progressOf(lesson.id);
  const { data, error } = useLoad(async (signal) => {
    const seen = await get(pathOf(id), {}, signal);
    changed(seen.progress.votes);
    return seen;
  }, [id], (seen) => (job ? null : isMoving(seen) ? 1 : 3));
  if (error?.status === 404)
    return html`<p class="message warn">This comparison was deleted. <button class="button small" onClick=${() => startOver(lesson.id)}>Start over</button></p>`;
  if (!data) return error ? html`<${Problem} error=${error} />` : html`<p class="quiet" role="status">Looking at the comparison…</p>`;
  const { votes, items, ready } = data.progress;
  return html`<div class="stack tight">
    <progress class="progress" max=${(isMoving(data) ? items : ready) || 1} value=${isMoving(data) ? ready : votes} aria-label=${isMoving(data) ? "Answers written" : "Your votes"}></progress>
    <p class="small quiet" role="status">${isMoving(data) ? generationOf(data) : `You voted on ${votes} of ${many(ready, "item")}.`}</p>
    ${!job && ready > 0 && html`<div><a class=${`button ${votes ? "" : "primary"}`} href=${votePath(id)}>${votes === 0 ? lesson.people.action : votes < ready ? "Go on voting" : "See your votes again"}</a></div>`}
  </div>`;
}
