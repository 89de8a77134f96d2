import { useState } from "preact/hooks";
import { post } from "../lib/api.js";
import { kindOf, pathOf } from "../lib/comparisons.js";
import { bytes, count } from "../lib/format.js";
import { html } from "../lib/html.js";
import { Field } from "../parts/field.js";
import { Problem } from "../parts/problem.js";

/** The votes as a dataset of this project. */
export function Export({ comparison }) {
  const [rows, setRows] = useState(kindOf(comparison));
  const [rule, setRule] = useState("majority");
  const [made, setMade] = useState(null);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);

  async function write(event) {
    event.preventDefault();
    setBusy(true);
    setError(null);
    setMade(null);
    try {
      setMade(await post(pathOf(comparison.id, "export"), { rows, rule }));
    } catch (problem) {
      setError(problem);
    }
    setBusy(false);
  }
  return html`<form class="card stack" aria-labelledby="export" onSubmit=${write}>
    <div class="stack tight"><h2 id="export">Export</h2><p class="small quiet">Write a dataset. Each row names its votes and annotators. Exported votes can no longer change.</p></div>
    <div class="grid-2">
      <${Field} label="Rows">${(attributes) => html`<select ...${attributes} class="input" value=${rows} onChange=${(event) => setRows(event.target.value)}>
        <option value="rankings">Rankings</option><option value="pairs">Pairs</option></select>`}<//>
      <${Field} label="Several votes on an item">${(attributes) => html`<select ...${attributes} class="input" value=${rule} onChange=${(event) => setRule(event.target.value)}>
        <option value="majority">Make one row of them</option><option value="every_vote">Make a row of each</option></select>`}<//>
    </div>
    ${error && html`<${Problem} error=${error} />`}
    ${made && html`<div class="message good" role="status"><p>${count(made.written)} ${made.rows} in <a href=${`/v1/files/${made.file.id}/content`} download=${made.file.filename}>${made.file.filename}</a> (${bytes(made.file.bytes)}).${made.left_out ? ` ${count(made.left_out)} votes order nothing and are left out.` : ""}</p></div>`}
    <div><button class="button" disabled=${busy}>${busy ? "Exporting…" : "Export"}</button></div>
  </form>`;
}
