import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { Problem } from "./problem.js";

/**
 * A question before something that cannot be undone.
 *
 * @param {{title: string, children: any, action: string, act: () => Promise<any>, close: () => void}} props
 */
export function Confirm({ title, children, action, act, close }) {
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
      ${error && html`<${Problem} error=${error} />`}
      <div class="row">
        <button class="button danger sure" disabled=${busy} onClick=${confirm}>${action}</button>
        <button class="button" onClick=${close}>Keep it as it is</button>
      </div>
    </div>
  </dialog>`;
}
