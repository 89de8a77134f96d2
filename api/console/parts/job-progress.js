import { count } from "../lib/format.js";
import { html } from "../lib/html.js";

/** The bar of a running job and its step. @param {{reached: {step?: number, total?: number}, name: string}} props */
export const JobProgress = ({ reached, name }) => html`<div class="stack tight">
  <progress class="progress" max=${reached.total ?? 1} value=${reached.step ?? 0} aria-label=${`Progress of ${name}`}></progress>
  <span class="small faint number">${reached.step ? `Step ${count(reached.step)} of ${count(reached.total)}` : "Before the first step"}</span>
</div>`;
