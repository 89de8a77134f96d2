import { useState } from "preact/hooks";
import { announce } from "../lib/announce.js";
import { html } from "../lib/html.js";

/** Code with a button that copies it. */
export function Code({ children, label = "Copy" }) {
  const [copied, setCopied] = useState(false);
  const text = String(children);
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
      announce("Copied.");
      setTimeout(() => setCopied(false), 2000);
    } catch {
      announce("The browser does not allow copying here. Select the text and copy it.");
    }
  }
  return html`<div class="code">
    <pre tabindex="0" aria-label="Code">${text}</pre>
    <button class="button small" onClick=${copy}>${copied ? "Copied" : label}</button>
  </div>`;
}
