import { useState } from "preact/hooks";
import { get } from "../lib/api.js";
import { clock, moment } from "../lib/format.js";
import { html } from "../lib/html.js";
import { Problem } from "./problem.js";

const LOOK = { info: "", warn: "warn", error: "bad" };
const FIRST = 8;
const PAGE = 100; // as many as a job's page begins with

/** What happened, newest first. @param {{job: any, messages: any[]}} props messages: the newest */
export function Events({ job, messages }) {
  const [every, setEvery] = useState(false);
  const [older, setOlder] = useState({ rows: [], more: true, busy: false, error: null });
  const all = [...messages, ...older.rows];
  const shown = every ? all : all.slice(0, FIRST);
  async function grow() {
    const query = { type: "message", limit: PAGE, after: all.at(-1).id };
    setOlder({ ...older, busy: true });
    try {
      const page = await get(`/v1/fine_tuning/jobs/${encodeURIComponent(job.id)}/events`, query);
      setOlder({ rows: [...older.rows, ...page.data], more: page.has_more, busy: false, error: null });
    } catch (error) {
      setOlder({ ...older, busy: false, error });
    }
  }
  return html`<section class="card stack" aria-labelledby="events">
    <h2 id="events">Events</h2>
    ${all.length === 0 && html`<p class="small quiet">Nothing has happened yet.</p>`}
    <ol class="lines small many">${shown.map((event) => html`<li key=${event.id} class="stack tight">
      <time class="faint number" dateTime=${new Date(event.created_at * 1000).toISOString()} title=${moment(event.created_at)}>${clock(event.created_at)}</time>
      ${LOOK[event.level] ? html`<div class=${`message small ${LOOK[event.level]}`}>${event.message}</div>` : html`<span class="wrap">${event.message}</span>`}
    </li>`)}</ol>
    ${all.length > FIRST && html`<div class="row"><button class="button small" onClick=${() => setEvery(!every)}>${every ? "Show fewer" : `Show all ${all.length}${messages.length >= PAGE && older.more ? " newest" : ""}`}</button>
      ${every && messages.length >= PAGE && older.more && html`<button class="button small" disabled=${older.busy} onClick=${grow}>${older.busy ? "Reading older events…" : "Show older events"}</button>`}</div>`}
    ${older.error && html`<${Problem} error=${older.error} />`}
  </section>`;
}
