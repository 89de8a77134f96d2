import { html } from "../lib/html.js";

const STEPS = [
  ["Upload a dataset", "Rows of prompts and completions, preferences, or prompts that a function can grade.", "/datasets", "Datasets"],
  ["Train a model", "Choose a method. Fettle fills in the settings and says why.", "/new-job", "New job"],
  ["Talk to it", "See the base model and your model side by side.", "/playground", "Playground"],
];

/** What a new project does first. */
export const FirstSteps = () => html`<section class="card stack wide" aria-labelledby="first-steps">
  <div class="stack tight">
    <h2 id="first-steps">Your first tuned model</h2>
    <p class="quiet">Three steps. The starter model trains in about a minute on an ordinary machine.</p>
  </div>
  <ol class="grid-3">
    ${STEPS.map(([title, words, path, page], place) => html`<li key=${title} class="stack tight">
      <h3>${place + 1}. ${title}</h3>
      <p class="quiet">${words}</p>
      <p><a href=${`#${path}`}>Open ${page}</a></p>
    </li>`)}
  </ol>
  <p class="quiet">New to fine-tuning? <a href="#/learn">Learn</a> has five short lessons that need no data of yours.</p>
</section>`;
