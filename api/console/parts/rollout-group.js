import { figure, many } from "../lib/format.js";
import { html } from "../lib/html.js";
import { Said } from "./said.js";

const textOf = (prompt) => (typeof prompt === "string" ? prompt : prompt.map((message) => (prompt.length > 1 ? `${message.role}: ` : "") + (typeof message.content === "string" ? message.content : JSON.stringify(message.content))).join("\n"));

/** A prompt and what was written for it, best to worst. @param {{rows: any[]}} props rows of one group, in this order */
export const RolloutGroup = ({ rows }) => html`<section class="card stack" aria-label=${`Prompt ${rows[0].group + 1}`}>
  <${Said} plain who=${`Prompt ${rows[0].group + 1}`} what=${textOf(rows[0].prompt)} />
  <ol class="rollouts">${rows.map((row, place) => html`<li key=${row.id} class="rollout"><${Rollout} row=${row} place=${place} /></li>`)}</ol>
</section>`;

function Rollout({ row, place }) {
  const errors = Object.entries(row.errors ?? {});
  return html`
    <div class="row spread small"><strong>${place + 1}. Reward ${figure(row.reward)}</strong><${Advantage} value=${row.advantage} /></div>
    <${Said} what=${row.completion} />
    <p class="small faint">${many(row.tokens, "token")}${row.stop_reason === "length" ? ", cut off at the limit" : ""}</p>
    <dl class="facts">${Object.entries(row.scores ?? {}).map(([name, score]) => html`<dt key=${name}>${name}</dt><dd>${figure(score)}</dd>`)}</dl>
    ${row.printed && html`<details class="details"><summary>Printed output</summary><${Said} what=${row.printed} /></details>`}
    ${errors.map(([name, error]) => html`<p key=${name} class="message bad small">${name}: ${typeof error === "string" ? error : JSON.stringify(error)}</p>`)}`;
}

/** How much the completion was better or worse than the others of its prompt; it says so in words as well as in colour. */
function Advantage({ value }) {
  if (value === null || value === undefined) return null;
  const look = value > 0 ? "good" : value < 0 ? "bad" : "";
  return html`<span class=${`advantage ${look}`}>advantage ${value > 0 ? "+" : ""}${figure(value).replace("-", "−")}</span>`;
}
