import { html } from "../../lib/html.js";
import { Arrow, Box, Drawing, Words } from "./parts.js";

const SCORES = [0, 1.2, 0, 1, 0.2, 0];
const MEAN = SCORES.reduce((one, other) => one + other) / SCORES.length;
const y = (score) => 138 - score * 72;

export const Picture = () => html`<${Drawing} says="The model answers one question six times. A program scores each answer. Answers above the group's mean become more likely, the others less.">
  <${Box} x=${4} y=${78} w=${74} h=${34} look="soft">Question<//>
  ${SCORES.map((score, place) => {
    const x = 120 + place * 38;
    const good = score > MEAN;
    return html`<g key=${place}>
      <path class="thread" d=${`M80 95 Q ${x - 6} 95 ${x} ${y(score) + (y(score) < 95 ? 11 : -11)}`} />
      <circle class=${good ? "dot good" : "dot"} cx=${x} cy=${y(score)} r="11" />
      <text class=${good ? "on" : "words"} x=${x} y=${y(score) + 4} text-anchor="middle">${score}</text>
      <${Arrow} from=${good ? [x, 164] : [x, 154]} to=${good ? [x, 152] : [x, 166]} look=${good ? "accent strong" : "faint"} />
    </g>`;
  })}
  <line class="base-line" x1="102" y1=${y(MEAN)} x2="336" y2=${y(MEAN)} />
  <${Words} x=${340} y=${y(MEAN) - 6} at="end" look="faint">mean<//>
  <${Words} x=${215} y=${18} at="middle" look="strong">Each answer gets a score from a program<//>
  <${Words} x=${215} y=${190} at="middle" look="faint">Above the mean: more of it. Below: less of it.<//>
<//>`;
