/** Before and after: figures, answers side by side, and what came of the guess. */
import { useEffect, useState } from "preact/hooks";
import { get } from "../lib/api.js";
import { duration, percent } from "../lib/format.js";
import { html } from "../lib/html.js";
import { link } from "../lib/router.js";
import { Problem } from "../parts/problem.js";
import { BeforeAfter } from "./before-after.js";
import { examine, mark, telling } from "./exam.js";
import { Verdict } from "./guess.js";
import { BASE } from "./start.js";
import { progressOf, remember } from "./store.js";

const SIDE_BY_SIDE = 4;
const SHARES = [["Right answers", "right"], ["Reasoned before answering", "reasoned"]];
const VERDICTS = ["Right", "Wrong"];

/** Asks both models, and reads what the job measured; what is there already is kept. */
async function measure(lesson, job, say, signal) {
  const told = (who) => (done, of) => say(`${who} answers the exam: ${done} of ${of}`);
  const base = await examine(BASE, told("The starter"), signal);
  const tuned = await examine(job.fine_tuned_model, told("Your model"), signal);
  say("Reading what the job measured");
  const evaluation = await get(`/v1/fine_tuning/jobs/${job.id}/evaluation`, {}, signal);
  const numbers = lesson.numbers ? lesson.numbers(evaluation) : {};
  remember(lesson.id, { marks: { base, tuned }, numbers, seconds: job.finished_at - job.created_at, model: job.fine_tuned_model });
}

export function Result({ lesson, job, again }) {
  const { marks, numbers, seconds } = progressOf(lesson.id);
  const [said, say] = useState("");
  const [problem, setProblem] = useState(null);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (marks) return undefined;
    const stop = new AbortController();
    setProblem(null);
    measure(lesson, job, say, stop.signal).catch((error) => stop.signal.aborted || setProblem(error));
    return () => stop.abort();
  }, [turn]);
  if (problem) return html`<${Problem} error=${problem} retry=${() => setTurn(turn + 1)} />`;
  if (!marks) return html`<section class="card stack tight"><h2>Before and after</h2><p class="quiet" role="status">${said || "Asking both models the same questions"}.</p></section>`;
  const result = { ...marks, numbers, seconds };
  return html`<section class="stack" aria-labelledby="result">
    <div class="stack tight"><h2 id="result">Before and after</h2>
      <p class="quiet measure">Both models answered the same ${marks.base.questions} questions, which no lesson trains on. The run took ${duration(seconds)}.</p></div>
    <div class="card stack">
      <${BeforeAfter} rows=${[...(lesson.shares ?? SHARES).map(([name, of]) => [name, marks.base[of], marks.tuned[of], percent]), ...(lesson.more?.(numbers) ?? [])]} />
      <${Verdict} lesson=${lesson} result=${result} />
      <p class="measure">${lesson.lesson(result)}</p>
    </div>
    <${Sides} lesson=${lesson} marks=${marks} />
    <div class="row"><a class="button" href=${`#/playground?models=${encodeURIComponent(`${BASE},${job.fine_tuned_model}`)}`}>Ask both yourself</a>
      <a class="button" href=${link("jobs", job.id)}>See the job</a>${again}</div>
  </section>`;
}

function Sides({ lesson, marks }) {
  return html`<div class="stack" aria-label="Answers side by side" role="group">
    ${telling(marks.base, marks.tuned, SIDE_BY_SIDE).map((question) => html`<${OneByOne} key=${question.prompt} question=${question} verdicts=${lesson.verdicts ?? VERDICTS} />`)}
  </div>`;
}

const OneByOne = ({ question, verdicts }) => html`<article class="card stack tight">
  <p class="wrap">${question.prompt}</p>
  <div class="sides two">${[["Starter", question.base], ["Your model", question.tuned]].map(([who, text]) => {
    const { right } = mark(text, question);
    return html`<div key=${who}><div class="row spread small"><span class="faint">${who}</span><span class=${`status ${right ? "good" : "bad"}`}>${verdicts[right ? 0 : 1]}</span></div>
      <div class="said mono">${text}</div></div>`;
  })}</div>
</article>`;
