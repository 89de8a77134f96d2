import { useEffect, useState } from "preact/hooks";
import { html } from "../lib/html.js";

/**
 * A choice of a step. While the handle moves only the number changes; the step is chosen when it rests.
 *
 * @param {{last: number, step: number, choose: (step: number) => void, children?: any}} props children: about the step
 */
export function StepSlider({ last, step, choose, children }) {
  const [moving, setMoving] = useState(step);
  useEffect(() => setMoving(step), [step]);
  const to = (event) => choose(Number(event.target.value));
  return html`<div class="card stack tight">
    <div class="row spread"><label class="label" for="step">Step ${moving} of ${last}</label><span class="small quiet" role="status">${children}</span></div>
    <div class="step-slider">
      <button class="button small" disabled=${step <= 1} onClick=${() => choose(step - 1)}>Earlier</button>
      <input id="step" type="range" min="1" max=${last} step="1" value=${moving} onInput=${(event) => setMoving(Number(event.target.value))} onChange=${to} />
      <button class="button small" disabled=${step >= last} onClick=${() => choose(step + 1)}>Later</button>
    </div>
  </div>`;
}
