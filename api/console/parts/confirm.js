import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { Field } from "./field.js";
import { Problem } from "./problem.js";

/**
 * A question before something that cannot be undone.
 *
 * @param {{title: string, children: any, action: string, act: () => Promise<any>, close: () => void, typed?: string}} props
 *   typed: what must be typed first
 */
export function Confirm({ title, children, action, act, close, typed = "" }) {
  const [text, setText] = useState("");
  const dialog = useRef(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  useEffect(() => dialog.current.showModal(), []);
  async function confirm() {
    setBusy(true);
    try {
      await act();
      close();
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  }
  return html`<dialog ref=${dialog} onClose=${close} aria-labelledby="confirm-title">
    <div class="stack">
      <h2 id="confirm-title">${title}</h2>
      <p class="quiet">${children}</p>
      ${typed && html`<${Field} label=${`Type ${typed} to go on`}>${(attributes) => html`<input ...${attributes} class="input" autocomplete="off" value=${text} onInput=${(event) => setText(event.target.value)} />`}<//>`}
      ${error && html`<${Problem} error=${error} />`}
      <div class="row">
        <button class="button danger sure" disabled=${busy || text !== typed} onClick=${confirm}>${action}</button>
        <button class="button" onClick=${close}>Keep it as it is</button>
      </div>
    </div>
  </dialog>`;
}
