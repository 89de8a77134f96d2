/** What can be done with an item, always in reach at the bottom of the window. */
import { useEffect, useRef } from "preact/hooks";
import { html } from "../lib/html.js";
import { keepFocus } from "./answer.js";
import { Key } from "./key.js";

const NOTE_AT_MOST = 2000;

function Choice({ on, press, hint, children }) {
  return html`<button type="button" class="button small" aria-pressed=${on === undefined ? null : String(on)} onMouseDown=${keepFocus} onClick=${press}>
    ${children}<${Key}>${hint}<//>
  </button>`;
}

/** @param {{mode: string, ballot: any, actions: any, noting: boolean, ready: boolean, spoken: string, why: string, note: (text: string) => void, closeNote: () => void, children: any}} props */
export function Bar({ mode, ballot, actions, noting, ready, spoken, why, note, closeNote, children }) {
  const field = useRef(null);
  const first = useRef(true);
  useEffect(() => {
    if (noting && !first.current) field.current?.focus();
    first.current = false;
  }, [noting]);
  return html`<section class="vote-bar" aria-label="Your vote">
    ${noting && html`<div class="note">
      <textarea ref=${field} class="input" aria-label="Note" placeholder="Why? (optional)" maxlength=${NOTE_AT_MOST} value=${ballot.note}
        onInput=${(event) => note(event.target.value)}
        onKeyDown=${(event) => event.key === "Escape" && (event.target.blur(), !ballot.note && closeNote())}></textarea>
    </div>`}
    <div class="vote-row">
      ${children}
      <p class="hidden-text" role="status">${why ? "" : spoken}</p>
      <p class="why small" role="status">${why}</p>
      <div class="vote-choices">
        ${mode === "pick"
          ? html`<${Choice} on=${ballot.word === "tie"} press=${actions.tie} hint="0">Tie<//>`
          : html`<${Choice} press=${actions.tie} hint="="><span>Tie<span class="wide-only"> with above</span></span><//>`}
        <${Choice} on=${ballot.word === "both_bad"} press=${actions.bad} hint="b">${mode === "pick" ? "Both bad" : "All bad"}<//>
        <${Choice} on=${ballot.word === "skip"} press=${actions.skip} hint="s">Skip<//>
        <${Choice} press=${actions.note} hint="n">Note<//>
        <${Choice} press=${actions.undo} hint="u">Undo<//>
      </div>
      <button type="button" class="button primary send" aria-disabled=${String(!ready)} onMouseDown=${keepFocus} onClick=${actions.send}>Send<${Key} always>↵<//></button>
    </div>
  </section>`;
}
