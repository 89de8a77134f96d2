import { useState } from "preact/hooks";
import { clock, moment } from "../lib/format.js";
import { html } from "../lib/html.js";
import { Problem } from "./problem.js";

const LOOK = { info: "", warn: "warn", error: "bad" };
const FIRST = 8;

/** What happened, newest first. @param {{messages: import("../lib/messages.js").Messages, grow: () => Promise<void>}} props */
export function Events({ messages: { rows, more }, grow }) {
  const [every, setEvery] = useState(false);
  const [state, setState] = useState({ busy: false, error: null });
  const shown = every ? rows : rows.slice(0, FIRST);
  async function older() {
    setState({ busy: true, error: null });
    const error = await grow().then(() => null, (problem) => problem);
    setState({ busy: false, error });
  }
  return html`<section class="card stack" aria-labelledby="events">
    <h2 id="events">Events</h2>
    ${rows.length === 0 && html`<p class="small quiet">Nothing has happened yet.</p>`}
    <ol class="lines small many">${shown.map((event) => html`<li key=${event.id} class="stack tight">
      <time class="faint number" dateTime=${new Date(event.created_at * 1000).toISOString()} title=${moment(event.created_at)}>${clock(event.created_at)}</time>
      ${LOOK[event.level] ? html`<div class=${`message small ${LOOK[event.level]}`}>${event.message}</div>` : html`<span class="wrap">${event.message}</span>`}
    </li>`)}</ol>
    ${rows.length > FIRST && html`<div class="row"><button class="button small" onClick=${() => setEvery(!every)}>${every ? "Show fewer" : `Show all ${rows.length}${more ? " newest" : ""}`}</button>
      ${every && more && html`<button class="button small" disabled=${state.busy} onClick=${older}>${state.busy ? "Reading older events…" : "Show older events"}</button>`}</div>`}
    ${state.error && html`<${Problem} error=${state.error} />`}
  </section>`;
}
