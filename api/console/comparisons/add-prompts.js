import { useState } from "preact/hooks";
import { announce } from "../lib/announce.js";
import { post } from "../lib/api.js";
import { pathOf } from "../lib/comparisons.js";
import { html } from "../lib/html.js";
import { hasPrompts, NO_PROMPTS, PromptsField, promptsOf } from "./prompts-field.js";

/** More prompts for a comparison that exists. */
export function AddPrompts({ comparison, added }) {
  const [open, setOpen] = useState(false);
  const [value, setValue] = useState(NO_PROMPTS);
  const [wrong, setWrong] = useState("");
  const [busy, setBusy] = useState(false);
  if (!open) return html`<div><button class="button" onClick=${() => setOpen(true)}>Add prompts</button></div>`;

  async function add(event) {
    event.preventDefault();
    setBusy(true);
    setWrong("");
    try {
      added(await post(pathOf(comparison.id, "prompts"), promptsOf(value)));
      announce("The prompts are added. Their responses are generated next.");
      setValue(NO_PROMPTS);
      setOpen(false);
    } catch (error) {
      setWrong(error.message);
    }
    setBusy(false);
  }
  return html`<form class="card stack" onSubmit=${add}>
    <${PromptsField} value=${value} set=${setValue} wrong=${wrong} />
    <div class="row"><button class="button primary" disabled=${busy || !hasPrompts(value)}>${busy ? "Adding…" : "Add prompts"}</button>
      <button type="button" class="button" onClick=${() => setOpen(false)}>Close</button></div>
  </form>`;
}
