import { useState } from "preact/hooks";
import { announce } from "../lib/announce.js";
import { post } from "../lib/api.js";
import { html } from "../lib/html.js";
import { go, link } from "../lib/router.js";
import { may } from "../lib/session.js";

/** From a job to people's votes in one step: the base model against the tuned one, on the validation prompts. */
export function CompareJob({ job }) {
  const [busy, setBusy] = useState(false);
  if (!may("comparisons.write") || !may("chat")) return null;
  if (!job.validation_file)
    return html`<a class="button" href=${`#/new-comparison?models=${encodeURIComponent(`${job.model},${job.fine_tuned_model}`)}`}>Compare base and tuned</a>`;
  async function compare() {
    setBusy(true);
    try {
      const { id } = await post(`/v1/fine_tuning/jobs/${encodeURIComponent(job.id)}/comparison`, {});
      go(link("comparisons", id));
    } catch (error) {
      announce(error.message);
      setBusy(false);
    }
  }
  return html`<button class="button" disabled=${busy} onClick=${compare}>${busy ? "Creating the comparison…" : "Compare base and tuned"}</button>`;
}
