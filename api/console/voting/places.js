/** The order so far, best first. Responses are dragged onto a place to tie, or between two places. */
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { dragStart, draggedId, isResponse } from "./answer.js";
import { ordinal } from "./ordinals.js";

function useDrop(drop) {
  const [over, setOver] = useState(false);
  return {
    over,
    handlers: {
      onDragOver: (event) => isResponse(event) && (event.preventDefault(), setOver(true)),
      onDragLeave: () => setOver(false),
      onDrop: (event) => {
        event.preventDefault();
        setOver(false);
        drop(draggedId(event));
      },
    },
  };
}

function Gap({ drop, last, none }) {
  const { over, handlers } = useDrop(drop);
  return html`<li class=${`gap ${over ? "over" : ""} ${last ? "last" : ""}`} role="presentation" ...${handlers}>
    ${none && html`<span class="faint small">No response has a place yet.</span>`}
  </li>`;
}

function Place({ number, ids, numberOf, press, drop }) {
  const { over, handlers } = useDrop(drop);
  return html`<li class=${`place ${over ? "over" : ""}`} ...${handlers}>
    <span class="small faint">${ordinal(number)}</span>
    ${ids.map((id) => html`<button key=${id} type="button" class="chip" draggable onDragStart=${(event) => dragStart(event, id)}
      aria-label=${`Response ${numberOf(id)}. Press to take it out`} onClick=${() => press(id)}>${numberOf(id)}</button>`)}
  </li>`;
}

/** @param {{places: string[][], numberOf: (id: string) => number, press: (id: string) => void, drop: (id: string, target: any) => void}} props */
export const Places = ({ places, numberOf, press, drop }) => html`<ol class="places" aria-label="Your ranking, best first">
  ${places.flatMap((ids, at) => [
    html`<${Gap} key=${`gap ${at}`} drop=${(id) => drop(id, { before: at })} />`,
    html`<${Place} key=${ids.join()} number=${at + 1} ids=${ids} numberOf=${numberOf} press=${press} drop=${(id) => drop(id, { place: at })} />`,
  ])}
  <${Gap} key="end" last none=${places.length === 0} drop=${(id) => drop(id, { before: places.length })} />
</ol>`;
