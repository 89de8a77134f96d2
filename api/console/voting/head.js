import { count } from "../lib/format.js";
import { html } from "../lib/html.js";
import { Key } from "./key.js";

/** Whose votes these are, how far they are, and the guidelines. back: address and words of the way back, if there is one. */
export function Head({ head, progress, unsent, help, back }) {
  const voted = progress.voted + unsent;
  const wanted = Math.max(progress.wanted, voted);
  return html`<header class="vote-head">
    <div class="vote-name">
      <strong class="wrap">${head.name}</strong>
      <span class="small faint wrap">${back ? html`<a href=${back[0]}>${back[1]}</a>` : `Voting as ${head.annotator.name}`}</span>
    </div>
    <div class="vote-progress">
      <progress class="progress" max=${wanted || 1} value=${voted} aria-label="Your progress"></progress>
      <span class="small quiet number">${count(voted)} of ${count(wanted)} · ${count(wanted - voted)} left</span>
    </div>
    <button type="button" class="button small" onClick=${help}>Guidelines<${Key}>g<//></button>
  </header>`;
}
