/** One guess before the result: whoever has guessed remembers the answer. */
import { html } from "../lib/html.js";
import { progressOf, remember } from "./store.js";

export function Guess({ lesson }) {
  const { guess, marks } = progressOf(lesson.id);
  const { question, options } = lesson.guess;
  return html`<section class="card stack" aria-labelledby="guess">
    <h2 id="guess">Your guess first</h2>
    <fieldset class="plain-set stack tight" disabled=${Boolean(marks)}>
      <legend class="wrap">${question}</legend>
      ${options.map((option, place) => html`<label key=${option} class="choice"><input type="radio" name="guess" checked=${guess === place}
        onChange=${() => remember(lesson.id, { guess: place })} /><span>${option}</span></label>`)}
    </fieldset>
  </section>`;
}

/** What came of the guess, after the result. */
export function Verdict({ lesson, result }) {
  const { guess } = progressOf(lesson.id);
  const { options, best, because } = lesson.guess;
  const right = best(result);
  const yours = guess === undefined ? "" : guess === right ? "Your guess was right. " : `You guessed “${options[guess]}”. It was “${options[right]}”. `;
  return html`<div class="message good"><p><strong>${yours}</strong>${because(result)}</p></div>`;
}
