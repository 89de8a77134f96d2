import { html } from "../../lib/html.js";
import { Arrow, Box, Drawing, Words } from "./parts.js";

const SHOWN = ["<answer>", "39", "stamps", "</answer>"];
const OWN = ["<answer>", "31", "</answer>"];
const PLACES = [[56, 78], [140, 42], [188, 66], [260, 84]];

export const Picture = () => html`<${Drawing} says="A question, the answer that is shown token by token, and below it what the model would have written. Where they differ, the model is corrected.">
  <${Box} x=${56} y=${10} w=${288} look="soft">Gus has 33 stamps. Gus buys 6 more …<//>
  <${Arrow} from=${[200, 42]} to=${[200, 62]} />
  <${Words} x=${2} y=${89} look="strong">Shown<//>
  ${SHOWN.map((token, place) => html`<${Box} key=${token} x=${PLACES[place][0]} y=${68} w=${PLACES[place][1]} h=${32} look=${place === 1 || place === 2 ? "accent" : ""} mono>${token}<//>`)}
  <${Words} x=${2} y=${153} look="strong">Model<//>
  ${OWN.map((token, place) => html`<${Box} key=${token} x=${PLACES[place][0]} y=${132} w=${place === 2 ? 84 : PLACES[place][1]} h=${32} look=${place ? "other" : ""} mono>${token}<//>`)}
  <${Words} x=${95} y=${121} at="middle" look="faint">same<//>
  <${Arrow} from=${[161, 128]} to=${[161, 104]} look="accent" />
  <${Arrow} from=${[221, 128]} to=${[221, 104]} look="accent" />
  <${Words} x=${236} y=${121} look="accent">pulled towards it<//>
  <${Words} x=${180} y=${190} at="middle" look="faint">The loss is how surprised the model is by what is shown.<//>
<//>`;
