import { useState } from "preact/hooks";
import { send } from "../lib/api.js";
import { pathOf } from "../lib/comparisons.js";
import { count, many } from "../lib/format.js";
import { html } from "../lib/html.js";
import { json } from "../lib/http.js";
import { Field } from "../parts/field.js";
import { Problem } from "../parts/problem.js";

/** Votes that were made elsewhere. */
export function Import({ comparison, imported }) {
  const [file, setFile] = useState(null);
  const [annotator, setAnnotator] = useState("");
  const [done, setDone] = useState(null);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);

  async function read(event) {
    event.preventDefault();
    setBusy(true);
    setError(null);
    setDone(null);
    const form = new FormData();
    form.append("annotator", annotator.trim());
    form.append("file", file);
    try {
      setDone(await json(await send("POST", pathOf(comparison.id, "import"), { form })));
      imported();
    } catch (problem) {
      setError(problem);
    }
    setBusy(false);
  }
  return html`<form class="card stack" aria-labelledby="import" onSubmit=${read}>
    <div class="stack tight"><h2 id="import">Import</h2><p class="small quiet">Rankings or pairs in the shape of datasets, or an export of Argilla or Label Studio.</p></div>
    <div class="grid-2">
      <${Field} label="File">${(attributes) => html`<input ...${attributes} class="input" type="file" required accept=".jsonl,.json,.csv" onChange=${(event) => setFile(event.target.files[0] ?? null)} />`}<//>
      <${Field} label="Whose votes">${(attributes) => html`<input ...${attributes} class="input" required maxlength="200" placeholder="A name" value=${annotator} onInput=${(event) => setAnnotator(event.target.value)} />`}<//>
    </div>
    ${error && html`<${Problem} error=${error} />`}
    ${done && html`<div class="message good" role="status">
      <p>${many(done.votes, "vote")} imported: ${many(done.new_items, "new item")}, ${count(done.matched_items)} that were here.</p>
      ${done.left_out.count > 0 && html`<p>${many(done.left_out.count, "vote")} left out. ${done.left_out.data.slice(0, 3).map((each) => `Line ${each.line}: ${each.message}`).join(" ")}</p>`}
    </div>`}
    <div><button class="button" disabled=${busy || !file || !annotator.trim()}>${busy ? "Importing…" : "Import"}</button></div>
  </form>`;
}
