import { html } from "../../lib/html.js";
import { Arrow, Box, Drawing, Words } from "./parts.js";

export const Picture = () => html`<${Drawing} says="From a question, one dashed leap leads to a wrong number. Two written steps lead to the right one.">
  <${Box} x=${6} y=${84} w=${78} h=${34} look="soft">Question<//>
  <${Arrow} from=${[48, 80]} to=${[278, 38]} bend=${[140, 0]} look="dashed" />
  <${Box} x=${282} y=${22} w=${70} h=${34} look="other" mono>41<//>
  <${Words} x=${130} y=${64} at="middle" look="faint">one leap<//>
  <${Arrow} from=${[48, 122]} to=${[74, 154]} bend=${[50, 152]} look="accent" />
  <${Box} x=${78} y=${138} w=${94} h=${34} look="accent" mono>33 + 6 = 39<//>
  <${Arrow} from=${[175, 155]} to=${[195, 155]} look="accent" />
  <${Box} x=${198} y=${138} w=${94} h=${34} look="accent" mono>39 − 4 = 35<//>
  <${Arrow} from=${[295, 152]} to=${[317, 124]} bend=${[316, 150]} look="accent" />
  <${Box} x=${282} y=${86} w=${70} h=${34} look="accent full" mono>35<//>
  <${Words} x=${185} y=${192} at="middle" look="faint">Each step is easy, and the next one can read it.<//>
<//>`;
