/** Pairs that somebody picked, on their way into a dataset for DPO. */
import { useState } from "preact/hooks";
import { upload } from "../lib/api.js";
import { announce } from "../lib/announce.js";
import { many } from "../lib/format.js";
import { html } from "../lib/html.js";
import { isPair, linesOf } from "../lib/rollouts.js";
import { go, link } from "../lib/router.js";
import { may } from "../lib/session.js";
import { Problem } from "../parts/problem.js";

const ROWS_NEEDED = 10; // by a job

/** @param {{name: string, picks: import("../lib/rollouts.js").Pick[], pickAll: () => void, clear: () => void}} props name: of the job */
export function Pairs({ name, picks, pickAll, clear }) {
  const [saving, setSaving] = useState(false);
  const [error, setError] = useState(null);
  const pairs = picks.filter(isPair);
  async function save() {
    setSaving(true);
    setError(null);
    try {
      const file = await upload(new File([linesOf(pairs)], `${name}-picked.jsonl`, { type: "application/jsonl" }), () => {});
      announce(`${many(pairs.length, "pair")} saved as a dataset.`);
      go(link("datasets", file.id));
    } catch (problem) {
      setError(problem);
      setSaving(false);
    }
  }
  const missing = ROWS_NEEDED - pairs.length;
  return html`<section class="card stack tight" aria-label="Pairs for DPO">
    <div class="row spread">
      <div class="grow"><h2>${pairs.length ? `${many(pairs.length, "pair")} picked` : "Pick pairs for DPO"}</h2>
        <p class="small quiet">Mark one completion of a prompt as better and another one as worse, on as many steps as you like. ${missing > 0 && `A DPO job needs ${ROWS_NEEDED} pairs${pairs.length ? `: ${missing} more` : ""}.`}</p></div>
      <div class="row">
        <button class="button small" onClick=${pickAll}>Pick best and worst of each</button>
        ${picks.length > 0 && html`<button class="button small plain" onClick=${clear}>Clear</button>`}
        ${may("files.write") && html`<button class="button primary" disabled=${pairs.length === 0 || saving} onClick=${save}>${saving ? "Saving…" : "Save as a dataset"}</button>`}
      </div>
    </div>
    ${error && html`<${Problem} error=${error} />`}
  </section>`;
}
