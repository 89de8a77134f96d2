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

function Gap({ drop, last, children }) {
  const { over, handlers } = useDrop(drop);
  return html`<div class=${`gap ${over ? "over" : ""} ${last ? "last" : ""}`} ...${handlers}>${children}</div>`;
}

function Place({ number, ids, numberOf, press, drop }) {
  const { over, handlers } = useDrop((id) => drop(id, { place: number - 1 }));
  return html`<li>
    <${Gap} drop=${(id) => drop(id, { before: number - 1 })} />
    <div class=${`place ${over ? "over" : ""}`} ...${handlers}>
      <span class="small faint">${ordinal(number)}</span>
      ${ids.map((id) => html`<button key=${id} type="button" class="chip" draggable onDragStart=${(event) => dragStart(event, id)}
        aria-label=${`${numberOf(id)}: take this response out`} onClick=${() => press(id)}>${numberOf(id)}</button>`)}
    </div>
  </li>`;
}

/** @param {{places: string[][], numberOf: (id: string) => number, press: (id: string) => void, drop: (id: string, target: any) => void}} props */
export const Places = ({ places, numberOf, press, drop }) => html`<div class="places">
  ${places.length > 0 && html`<ol aria-label="Your ranking, best first">
    ${places.map((ids, at) => html`<${Place} key=${ids.join()} number=${at + 1} ids=${ids} numberOf=${numberOf} press=${press} drop=${drop} />`)}
  </ol>`}
  <${Gap} last drop=${(id) => drop(id, { before: places.length })}>
    ${places.length === 0 && html`<span class="faint small">No response has a place yet.</span>`}
  <//>
</div>`;
