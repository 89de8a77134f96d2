import { figure, many } from "../lib/format.js";
import { html } from "../lib/html.js";
import { alike, wasCut } from "../lib/rollouts.js";
import { promptText } from "../parts/evaluation.js";
import { Said } from "../parts/said.js";
import { Earlier } from "./earlier.js";

/**
 * A prompt and what was written for it, best to worst.
 *
 * @param {{path: string, rows: any[], pick: import("../lib/rollouts.js").Pick, press: (side: string, row: any) => void}} props
 *   path: of the job. rows: of one group, in this order
 */
export const RolloutGroup = ({ path, rows, pick, press }) => html`<section class="card stack far" aria-label=${`Prompt ${rows[0].group + 1}`}>
  <${Said} plain who=${`Prompt ${rows[0].group + 1}`} what=${promptText(rows[0].prompt)} />
  <ol class="rollouts">${alike(rows).map(({ row, times }, place) => html`<li key=${row.id} class="rollout"><${Rollout} row=${row} times=${times} place=${place + 1} pick=${pick} press=${press} /></li>`)}</ol>
  <${Earlier} path=${path} best=${rows[0]} />
</section>`;

function Rollout({ row, times, place, pick, press }) {
  const errors = Object.entries(row.errors ?? {});
  const scores = Object.entries(row.scores ?? {});
  return html`
    <div class="row spread small"><strong>${place}. Reward ${figure(row.reward)}</strong><${Advantage} value=${row.advantage} /></div>
    ${row.turns?.length ? row.turns.map((turn, number) => html`<${Turn} key=${number} turn=${turn} />`) : html`<${Said} what=${row.completion} />`}
    <dl class="facts">${scores.map(([name, score]) => html`<dt key=${name}>${name}</dt><dd>${figure(score)}</dd>`)}</dl>
    ${row.printed && html`<details class="details"><summary>Printed output</summary><${Said} what=${row.printed} /></details>`}
    ${errors.map(([name, error]) => html`<p key=${name} class="message bad small">${name}: ${error.message ?? JSON.stringify(error)}</p>`)}
    <p class="small faint">${many(row.tokens, "token")}${ending(row)}${times > 1 ? `, written ${times} times` : ""}</p>
    ${!row.turns?.length && html`<div class="row picks">
      ${!wasCut(row) && html`<${Side} side="better" ...${{ row, place, pick, press }} />`}
      <${Side} side="worse" ...${{ row, place, pick, press }} />
    </div>`}`;
}

/** A message after the prompt, of a rollout with tools. */
const Turn = ({ turn }) => html`
  ${turn.role === "tool" ? html`<${Said} who="Tool" what=${turn.content} />` : turn.content && html`<${Said} what=${turn.content} />`}
  ${(turn.tool_calls ?? []).map((call) => html`<${Said} key=${call.id} who=${`Call of ${call.function.name}`} what=${call.function.arguments} />`)}`;

const ending = (row) => (wasCut(row) ? ", cut off at the limit" : row.stop_reason === "tool_calls" ? ", ended at the last turn without an answer" : "");

function Side({ side, row, place, pick, press }) {
  const chosen = pick[side]?.id === row.id;
  const word = side === "better" ? "Better" : "Worse";
  return html`<button type="button" class=${`button small pick ${chosen ? side : ""}`} aria-pressed=${String(chosen)} aria-label=${`${word}: completion ${place}`} onClick=${() => press(side, row)}>${word}</button>`;
}

/** How much the completion was better or worse than the others of its prompt; it says so in words as well as in colour. */
function Advantage({ value }) {
  if (value === null || value === undefined) return null;
  const look = value > 0 ? "good" : value < 0 ? "bad" : "";
  return html`<span class=${`advantage ${look}`}>advantage ${value > 0 ? "+" : ""}${figure(value).replace("-", "−")}</span>`;
}
