/** How the models compare: a plot of strengths with their intervals, and the same as a table. */
import { figure, many, percent } from "../lib/format.js";
import { html } from "../lib/html.js";

const [WIDTH, ROW, TOP, BOTTOM, LEFT, RIGHT] = [640, 34, 8, 26, 190, 24];

const short = (name) => (name.length > 27 ? `${name.slice(0, 12)}…${name.slice(-13)}` : name);
const shown = (value) => figure(Math.round(value * 100) / 100).replace("-", "−");

/** Round numbers between two values. */
function ticks(low, high) {
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20].find((each) => (high - low) / each <= 7) ?? 50;
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, place) => Number(((first + place) * step).toFixed(6)));
}

function Plot({ models }) {
  const low = Math.min(0, ...models.map((model) => model.interval[0]));
  const high = Math.max(0, ...models.map((model) => model.interval[1]));
  const margin = (high - low || 1) * 0.06;
  const x = (value) => LEFT + ((value - low + margin) / (high - low + 2 * margin)) * (WIDTH - LEFT - RIGHT);
  const height = TOP + models.length * ROW + BOTTOM;
  const bottom = height - BOTTOM;
  return html`<svg class="dots" viewBox=${`0 0 ${WIDTH} ${height}`} role="img" aria-label=${`Strengths with 95% intervals. ${models.map((model) => `${model.model}: ${shown(model.strength)}`).join("; ")}.`}>
    ${ticks(low, high).map((tick) => html`<g key=${tick}><line x1=${x(tick)} x2=${x(tick)} y1=${TOP} y2=${bottom} />
      <text class="axis" x=${x(tick)} y=${bottom + 18} text-anchor="middle">${shown(tick)}</text></g>`)}
    ${models.map((model, place) => {
      const y = TOP + (place + 0.5) * ROW;
      return html`<g key=${model.model}>
        <title>${model.model}</title>
        <text x="0" y=${y + 4}>${short(model.model)}</text>
        <line class="interval" x1=${x(model.interval[0])} x2=${x(model.interval[1])} y1=${y} y2=${y} />
        <circle cx=${x(model.strength)} cy=${y} r="5.5" />
      </g>`;
    })}
  </svg>`;
}

function flipsOf({ flips, models }) {
  if (!flips) return models.length > 1 ? "No number of changed votes would turn two neighbours round." : "";
  if (flips.votes === 0) return `${flips.upper} and ${flips.lower} are level.`;
  return `${many(flips.votes, "vote")} would have to turn round for ${flips.lower} to overtake ${flips.upper}.`;
}

/** @param {{strengths: any, models: string[]}} props */
export function Strengths({ strengths, models }) {
  if (!strengths)
    return new Set(models).size > 1 && html`<section class="card stack tight" aria-labelledby="strengths"><h2 id="strengths">Models</h2>
      <p class="quiet">The first votes on responses of two models show which one people prefer.</p></section>`;
  return html`<section class="stack" aria-labelledby="strengths">
    <div class="stack tight"><h2 id="strengths">Models</h2><p class="small quiet wrap">${flipsOf(strengths)}</p></div>
    <div class="card stack">
      <${Plot} models=${strengths.models} />
      <p class="small faint">Strength is the logarithm of a model's odds (Bradley–Terry): a model that is ahead by 1 wins 73% of the time. Lines are 95% intervals of ${many(strengths.resamples, "resample")}.</p>
    </div>
    <div class="card flush table-box" tabindex="0" role="region" aria-label="Models as a table"><table class="table">
      <caption class="hidden-text">Models</caption>
      <thead><tr><th scope="col">Model</th><th scope="col" class="end">Win rate</th><th scope="col" class="end">Strength</th><th scope="col" class="end">95% interval</th><th scope="col" class="end">Comparisons</th></tr></thead>
      <tbody>${strengths.models.map((model) => html`<tr key=${model.model}>
        <td class="main-cell">${model.model}</td><td class="end">${percent(model.win_rate)}</td><td class="end">${shown(model.strength)}</td>
        <td class="end">${shown(model.interval[0])} to ${shown(model.interval[1])}</td><td class="end">${model.comparisons}</td></tr>`)}</tbody>
    </table></div>
  </section>`;
}
