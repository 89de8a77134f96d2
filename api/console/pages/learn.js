/** Learn: five lessons that run for real, and when to choose what. */
import { html } from "../lib/html.js";
import { Page as Frame } from "../parts/page.js";
import { Choose } from "../learn/choose.js";
import { LESSONS } from "../learn/lessons/index.js";
import { progressOf } from "../learn/store.js";

const LEAD = "Five short lessons, each with a training run of its own on this machine. No code, and nothing to prepare. Together they take about ten minutes on two processor cores.";

function stateOf(lesson) {
  const { marks, job, comparison } = progressOf(lesson.id);
  if (marks) return ["Done", "good"];
  return job || comparison ? ["Begun", "live"] : ["", ""];
}

const Entry = ({ lesson, place }) => {
  const [word, look] = stateOf(lesson);
  const { Picture } = lesson;
  return html`<li><a class="card lesson-card" href=${`#/learn/${lesson.id}`}>
    <span class="lesson-picture"><${Picture} /></span>
    <span class="stack tight">
      <span class="row spread small"><span class="faint">Lesson ${place + 1} · ${lesson.name}</span>${word && html`<span class=${`status ${look}`}>${word}</span>`}</span>
      <strong class="lesson-title">${lesson.title}</strong>
      <span class="quiet">${lesson.lead}</span>
    </span>
  </a></li>`;
};

export const Page = () => html`<${Frame} title="Learn" lead=${LEAD}>
  <section class="stack" aria-labelledby="pupil">
    <h2 id="pupil">The model that learns</h2>
    <div class="measure stack tight">
      <p>A <dfn>language model</dfn> is a program that continues a text. You give it a <dfn>prompt</dfn>, such as a question, and it writes a <dfn>completion</dfn>, piece by piece. The pieces are called <dfn>tokens</dfn>: a word, a part of a word, a digit.</p>
      <p>The model of these lessons is called <strong>starter</strong>. It comes with Fettle and is tiny: 1.7 million numbers, where large models have many billions. It has read nothing but small arithmetic problems, and it has a bad habit. It can work a problem out step by step, but unless something makes it do so, it blurts a number, which is usually wrong. Each lesson tries to teach it a better habit, in a different way. That is <dfn>fine-tuning</dfn>: a model that exists already goes on learning, from a little data of yours.</p>
    </div>
  </section>
  <ol class="lessons">${LESSONS.map((lesson, place) => html`<${Entry} key=${lesson.id} lesson=${lesson} place=${place} />`)}</ol>
  <${Choose} />
<//>`;
