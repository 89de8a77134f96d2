import { useId } from "preact/hooks";
import { html } from "../lib/html.js";

/**
 * A field for Python. Tab indents; after Escape it moves on, so that nobody is caught in the field.
 *
 * @param {{label: string, value: string, change: (source: string) => void}} props
 */
export function Source({ label, value, change }) {
  const id = useId();
  function key(event) {
    const field = event.target;
    if (event.key === "Escape") return (field.dataset.leaving = "yes");
    if (event.key !== "Tab" || event.shiftKey || event.ctrlKey || event.altKey || field.dataset.leaving) return;
    event.preventDefault();
    field.setRangeText("    ", field.selectionStart, field.selectionEnd, "end");
    change(field.value);
  }
  const enter = (event) => delete event.target.dataset.leaving;
  return html`<div class="field">
    <label for=${id}>${label}</label>
    <textarea id=${id} class="input source" spellcheck=${false} autocapitalize="off" autocomplete="off" rows=${Math.min(24, Math.max(6, value.split("\n").length + 1))}
      value=${value} onInput=${(event) => change(event.target.value)} onKeyDown=${key} onFocus=${enter} aria-describedby=${`${id}-hint`}></textarea>
    <div class="hint" id=${`${id}-hint`}>Tab indents. Press Escape first to leave the field with Tab.</div>
  </div>`;
}
