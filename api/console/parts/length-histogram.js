import { count, many } from "../lib/format.js";
import { html } from "../lib/html.js";

const WIDE = 600;
const HIGH = 120;

/** How many tokens the rows have. @param {{bars: {start: number, end: number, rows: number}[], lengths: {min: number, max: number}}} props */
export function LengthHistogram({ bars, lengths }) {
  if (bars.length < 2) return null;
  const most = Math.max(...bars.map((bar) => bar.rows));
  const wide = WIDE / bars.length;
  const fullest = bars.find((bar) => bar.rows === most);
  return html`<figure class="card stack tight">
    <figcaption class="small quiet">Tokens in a row: from ${count(lengths.min)} to ${count(lengths.max)}, most often ${range(fullest)} (${many(most, "row")}).</figcaption>
    <svg class="histogram" viewBox=${`0 0 ${WIDE} ${HIGH}`} preserveAspectRatio="none" aria-hidden="true">
      ${bars.map((bar, place) => html`<rect key=${place} x=${place * wide + 1} width=${Math.max(1, wide - 2)} y=${HIGH - (HIGH * bar.rows) / most} height=${(HIGH * bar.rows) / most}><title>${range(bar)} tokens: ${many(bar.rows, "row")}</title></rect>`)}
    </svg>
    <div class="row spread small faint number" aria-hidden="true"><span>${count(lengths.min)}</span><span>${count(lengths.max)} tokens</span></div>
  </figure>`;
}

const range = ({ start, end }) => (end - start === 1 ? count(start) : `${count(start)} to ${count(end - 1)}`);
