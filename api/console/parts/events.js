import { useState } from "preact/hooks";
import { clock, moment } from "../lib/format.js";
import { html } from "../lib/html.js";

const LOOK = { info: "", warn: "warn", error: "bad" };
const FIRST = 8;

/** What happened, newest first. */
/** @param {{messages: any[]}} props */
export function Events({ messages }) {
  const [every, setEvery] = useState(false);
  const shown = every ? messages : messages.slice(0, FIRST);
  return html`<section class="card stack" aria-labelledby="events">
    <h2 id="events">Events</h2>
    <ol class="lines small">${shown.map((event) => html`<li key=${event.id} class="stack tight">
      <time class="faint number" dateTime=${new Date(event.created_at * 1000).toISOString()} title=${moment(event.created_at)}>${clock(event.created_at)}</time>
      ${LOOK[event.level] ? html`<div class=${`message small ${LOOK[event.level]}`}>${event.message}</div>` : html`<span class="wrap">${event.message}</span>`}
    </li>`)}</ol>
    ${messages.length > FIRST && html`<div><button class="button small" onClick=${() => setEvery(!every)}>${every ? "Show fewer" : `Show all ${messages.length}`}</button></div>`}
  </section>`;
}
