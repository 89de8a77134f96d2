import { generationOf, isMoving, votesOf } from "../lib/comparisons.js";
import { count } from "../lib/format.js";
import { html } from "../lib/html.js";

/** How far generation and voting are. */
export function Progress({ comparison }) {
  const { progress } = comparison;
  const wanted = progress.votes_wanted + progress.imported_votes;
  return html`<section class="card grid-2" aria-label="Progress">
    <div class="stack tight">
      <h2>Responses</h2>
      ${progress.items > 0 && html`<progress class="progress" max=${progress.items} value=${progress.ready} aria-label="Items with responses"></progress>`}
      <p class="small quiet wrap" role=${isMoving(comparison) ? "status" : null}>${generationOf(comparison)}</p>
    </div>
    <div class="stack tight">
      <h2>Votes</h2>
      ${wanted > 0 && html`<progress class="progress" max=${wanted} value=${votesOf(comparison)} aria-label="Votes"></progress>`}
      <p class="small quiet">${wanted ? `${count(votesOf(comparison))} of ${count(wanted)} votes.` : `${count(votesOf(comparison))} votes.`}
        ${comparison.annotators === 0 ? " Invite somebody, or vote yourself." : ""}</p>
    </div>
  </section>`;
}
