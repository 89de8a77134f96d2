/** The first rows of a lesson's data, as a table. */
import { count } from "../lib/format.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { Loading } from "../parts/loading.js";
import { Problem } from "../parts/problem.js";
import { Table } from "../parts/table.js";
import { rowsOf } from "./rows.js";

const SHOWN = 3;

export function Data({ lesson }) {
  const { file, title, words, columns } = lesson.data;
  const { data, error } = useLoad(() => rowsOf(file), [file]);
  if (!data) return error ? html`<${Problem} error=${error} />` : html`<div class="card"><${Loading}>Loading the data<//></div>`;
  return html`<section class="stack" aria-labelledby="data">
    <div class="stack tight"><h2 id="data">${title}</h2><p class="quiet measure">${words}</p></div>
    <div class="card flush lesson-table">
      <${Table} caption=${title} rowKey=${(row) => row.prompt} rows=${data.slice(0, SHOWN)}
        columns=${columns.map(([name, cell, look = ""]) => ({ title: name, cell: (row) => html`<span class=${`cell-text ${look}`}>${cell(row)}</span>` }))} />
      <p class="table-foot small faint">The first ${SHOWN} of ${count(data.length)} rows.</p>
    </div>
  </section>`;
}
