/** What to look for, and the keys. */
import { useEffect, useRef } from "preact/hooks";
import { html } from "../lib/html.js";
import { Markdown } from "../parts/markdown.js";
import { HELP, setSingleKeys, singleKeys } from "./keys.js";

/** @param {{mode: "rank" | "pick", instructions: string, first: boolean, close: () => void}} props first: before the first vote */
export function Guidelines({ mode, instructions, first, close }) {
  const dialog = useRef(null);
  useEffect(() => dialog.current.showModal(), []);
  return html`<dialog ref=${dialog} class="guidelines" onClose=${close} aria-labelledby="guidelines-title">
    <div class="stack">
      <h2 id="guidelines-title">${first ? "Before you start" : "Guidelines"}</h2>
      ${instructions.trim()
        ? html`<${Markdown} text=${instructions} />`
        : html`<p>${mode === "rank" ? "Put the responses in order, the best one first. Responses that are equally good share a place." : "Pick the response that you prefer."} You do not see which model wrote which.</p>`}
      <details open=${!first}>
        <summary>Keys</summary>
        <dl class="keys">${HELP[mode].map(([keys, what]) => html`<dt key=${keys}><kbd class="key">${keys}</kbd></dt><dd>${what}</dd>`)}</dl>
        <label class="choice small"><input type="checkbox" checked=${singleKeys.value} onChange=${(event) => setSingleKeys(event.target.checked)} />Use single keys</label>
      </details>
      <div><button class="button primary" autofocus onClick=${() => dialog.current.close()}>${first ? "Start" : "Back to voting"}</button></div>
    </div>
  </dialog>`;
}
