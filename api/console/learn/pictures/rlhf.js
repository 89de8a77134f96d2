import { html } from "../../lib/html.js";
import { Arrow, Box, Drawing, Words } from "./parts.js";

export const Picture = () => html`<${Drawing} says="Four steps. The model writes answers A to D. A person ranks them: C, then D, A and B. A reward model learns to score as the person does. The model practises, and the reward model scores each answer.">
  <${Words} x=${50} y=${18} at="middle" look="strong">1 Generate<//>
  ${["A", "B", "C", "D"].map((name, place) => html`<${Box} key=${name} x=${8 + (place % 2) * 44} y=${28 + Math.floor(place / 2) * 34} w=${40}>${name}<//>`)}
  <${Arrow} from=${[100, 60]} to=${[126, 60]} />
  <${Words} x=${180} y=${18} at="middle" look="strong">2 Rank<//>
  ${["C", "D", "A", "B"].map((name, place) => html`<${Box} key=${name} x=${132 + place * 4} y=${28 + place * 17} w=${96 - place * 8} h=${15} look=${place ? "soft" : "accent full"}>${name}<//>`)}
  <${Arrow} from=${[234, 60]} to=${[260, 60]} />
  <${Words} x=${308} y=${18} at="middle" look="strong">3 Reward model<//>
  <${Box} x=${266} y=${44} w=${86} h=${34} look="accent">scores<//>
  <${Box} x=${128} y=${126} w=${120} h=${36} look="accent full">Model<//>
  <${Arrow} from=${[251, 134]} to=${[292, 82]} bend=${[286, 130]} />
  <${Arrow} from=${[326, 82]} to=${[252, 154]} bend=${[324, 152]} look="accent" />
  <${Words} x=${276} y=${112} at="end" look="faint">answer<//>
  <${Words} x=${324} y=${150} look="accent">score<//>
  <${Words} x=${188} y=${188} at="middle" look="strong">4 Practise (PPO)<//>
<//>`;
