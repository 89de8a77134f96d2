import { html } from "../../lib/html.js";
import { Arrow, Box, Drawing, Words } from "./parts.js";

export const Picture = () => html`<${Drawing} says="Two answers to one question. Training makes the preferred one more probable and the other one less, measured from where the model began.">
  <${Words} x=${8} y=${22} look="strong">Preferred<//>
  <${Box} x=${8} y=${32} w=${112} h=${46} look="accent">shows its steps<//>
  <${Words} x=${8} y=${116} look="strong">Not preferred<//>
  <${Box} x=${8} y=${126} w=${112} h=${46} look="other">blurts<//>
  <line class="base-line" x1="222" y1="12" x2="222" y2="178" />
  <${Words} x=${222} y=${194} at="middle" look="faint">where it began<//>
  <g class="fill-accent"><rect x="140" y="40" width="82" height="30" rx="4" /><rect class="pale" x="222" y="40" width="74" height="30" /></g>
  <${Arrow} from=${[226, 55]} to=${[294, 55]} look="accent strong" />
  <${Words} x=${304} y=${52} look="accent">more<//><${Words} x=${304} y=${68} look="accent">probable<//>
  <g class="fill-other"><rect x="140" y="134" width="36" height="30" rx="4" /><rect class="pale" x="176" y="134" width="46" height="30" /></g>
  <${Arrow} from=${[219, 149]} to=${[180, 149]} look="other strong" />
  <${Words} x=${304} y=${146} look="other">less<//><${Words} x=${304} y=${162} look="other">probable<//>
<//>`;
