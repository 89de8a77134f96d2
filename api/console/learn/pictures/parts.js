/** What the lessons' pictures are drawn of. Colours come from the style sheet, so a picture follows light and dark. */
import { html } from "../../lib/html.js";

export const WIDTH = 360;
export const HEIGHT = 200;

/** @param {{says: string, children: any}} props says: the picture in words */
export const Drawing = ({ says, children }) => html`<svg class="drawing" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label=${says}>${children}</svg>`;

/** A box with a line of text in its middle. @param {{x: number, y: number, w: number, h?: number, look?: string, mono?: boolean, children: any}} props */
export const Box = ({ x, y, w, h = 30, look = "", mono, children }) => html`<g class=${`box ${look}`}>
  <rect x=${x} y=${y} width=${w} height=${h} rx="7" />
  <text class=${mono ? "code" : ""} x=${x + w / 2} y=${y + h / 2 + 4.5} text-anchor="middle">${children}</text>
</g>`;

export const Words = ({ x, y, at = "start", look = "", children }) => html`<text class=${`words ${look}`} x=${x} y=${y} text-anchor=${at}>${children}</text>`;

/** An arrow along a path from its first to its last point; `bend` lifts its middle. @param {{from: [number, number], to: [number, number], bend?: [number, number], look?: string}} props */
export function Arrow({ from, to, bend, look = "" }) {
  const [bx, by] = bend ?? [(from[0] + to[0]) / 2, (from[1] + to[1]) / 2];
  const angle = Math.atan2(to[1] - by, to[0] - bx);
  const corner = (turn) => [to[0] - 8 * Math.cos(angle + turn), to[1] - 8 * Math.sin(angle + turn)].map((each) => each.toFixed(1)).join(" ");
  return html`<g class=${`arrow ${look}`}>
    <path class="shaft" d=${`M${from.join(" ")} Q${bx} ${by} ${to.join(" ")}`} />
    <path class="head" d=${`M${corner(0.45)} L${to.join(" ")} L${corner(-0.45)}`} />
  </g>`;
}
