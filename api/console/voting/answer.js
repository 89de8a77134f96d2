/** One response as a card: press it, or its number, to place it. */
import { html } from "../lib/html.js";
import { ordinal } from "./ordinals.js";
import { Key } from "./key.js";

const DRAGGED = "text/x-fettle-response";

export const dragStart = (event, id) => {
  event.dataTransfer.setData(DRAGGED, id);
  event.dataTransfer.effectAllowed = "move";
};
export const draggedId = (event) => event.dataTransfer.getData(DRAGGED);
export const isResponse = (event) => event.dataTransfer.types.includes(DRAGGED);

/** A press with the mouse leaves the focus where it is, so that Enter still sends. */
export const keepFocus = (event) => event.preventDefault();

/**
 * @param {{number: number, response: {id: string, text: string}, mode: string, place: number, tied: boolean,
 *   best: boolean, press: () => void}} props place: 0 while it has none
 */
export function Answer({ number, response, mode, place, tied, best, press }) {
  const chosen = place > 0;
  const what = mode === "pick" ? (chosen ? "Picked" : "Pick") : chosen ? `${ordinal(place)} place${tied ? ", tied" : ""}` : "Rank next";
  function click(event) {
    if (event.target.closest("button") || String(getSelection())) return; // somebody selects text
    press();
  }
  return html`<article class=${`answer ${chosen ? "chosen" : ""} ${best ? "best" : ""}`} aria-label=${`Response ${number}`} onClick=${click}>
    <header draggable=${mode === "rank"} onDragStart=${(event) => dragStart(event, response.id)}>
      <span class="answer-number" aria-hidden="true">${number}</span>
      <button type="button" class="answer-press" aria-pressed=${String(chosen)} onMouseDown=${keepFocus} onClick=${press}>
        <span class="hidden-text">Response ${number}: </span>${what}<${Key}>${number}<//></button>
    </header>
    <div class="answer-text">${response.text || html`<span class="faint">(The response is empty.)</span>`}</div>
  </article>`;
}
