/** When to choose what, with the figures of the learner's own runs. */
import { duration, percent } from "../lib/format.js";
import { html } from "../lib/html.js";
import { Table } from "../parts/table.js";
import { LESSONS } from "./lessons/index.js";
import { progressOf } from "./store.js";

function seen(lesson) {
  const { marks, seconds, numbers } = progressOf(lesson.id);
  if (!marks) return html`<a href=${`#/learn/${lesson.id}`}>Run the lesson</a>`;
  const more = lesson.seen ? html`<span class="sub">${lesson.seen(numbers, marks)}</span>` : null;
  return html`<span><span class="number nobreak">${percent(marks.base.right)} → ${percent(marks.tuned.right)}</span> right
    <span class="sub">${percent(marks.base.reasoned)} → ${percent(marks.tuned.reasoned)} reasoned, in <span class="nobreak">${duration(seconds)}</span></span>${more}</span>`;
}

const COLUMNS = [
  { title: "Method", cell: (lesson) => html`<span>${lesson.name}<span class="sub">${lesson.title}</span></span>` },
  { title: "You bring", cell: (lesson) => html`<span class="cell-text">${lesson.choose.bring}</span>` },
  { title: "Choose it when", cell: (lesson) => html`<span class="cell-text">${lesson.choose.when}</span>` },
  { title: "Watch out for", cell: (lesson) => html`<span class="cell-text">${lesson.choose.mind}</span>` },
  { title: "What you have seen", cell: seen },
];

export const Choose = () => html`<section class="stack" aria-labelledby="choose">
  <div class="stack tight"><h2 id="choose">When to choose what</h2>
    <p class="quiet measure">The last column holds the figures of your own runs. They describe this small model and these small files: on your data, the order may differ. New job asks the advisor, which looks at your file.</p></div>
  <div class="card flush choose lesson-table"><${Table} caption="When to choose what" rows=${LESSONS} rowKey=${(lesson) => lesson.id} columns=${COLUMNS} /></div>
</section>`;
