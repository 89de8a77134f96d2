/** Datasets: upload one, and see what is wrong with it. */
import { isDataset, rowsOf, shapeOf } from "../lib/files.js";
import { bytes, count } from "../lib/format.js";
import { html } from "../lib/html.js";
import { usePages } from "../lib/pages.js";
import { go, link } from "../lib/router.js";
import { may } from "../lib/session.js";
import { Dropzone } from "../parts/dropzone.js";
import { Empty } from "../parts/empty.js";
import { Loading } from "../parts/loading.js";
import { Page as Frame } from "../parts/page.js";
import { Problem } from "../parts/problem.js";
import { Status } from "../parts/status.js";
import { Table } from "../parts/table.js";
import { When } from "../parts/when.js";

const COLUMNS = [
  { title: "Dataset", cell: (file) => html`<a class="wrap" href=${link("datasets", file.id)}>${file.filename}</a>` },
  { title: "Status", cell: (file) => html`<${Status} of=${file.status} />` },
  { title: "Rows are", cell: shapeOf },
  { title: "Rows", end: true, cell: (file) => rowsOf(file) !== null && count(rowsOf(file)) },
  { title: "Size", end: true, cell: (file) => bytes(file.bytes) },
  { title: "Uploaded", cell: (file) => html`<${When} at=${file.created_at} />` },
];

export function Page() {
  const { rows, more, error, busy, reload, grow } = usePages("/v1/files");
  const files = rows?.filter(isDataset) ?? [];
  const lead = "What models learn from. Rows can hold conversations, prompts with completions, preferences, rankings, or prompts for a reward.";
  return html`<${Frame} title="Datasets" lead=${lead}>
    ${may("files.write") && html`<${Dropzone} done=${(file) => go(link("datasets", file.id))} />`}
    ${error && html`<${Problem} error=${error} retry=${reload} />`}
    <section class="card flush" aria-label="Datasets">
      ${!rows && !error && html`<${Loading}>Loading datasets<//>`}
      ${rows && !more && files.length === 0 && html`<${Empty} title="No datasets yet">Drop a file above. Fettle says for each line what is wrong with it and how to fix it.<//>`}
      ${files.length > 0 && html`<${Table} caption="Datasets" columns=${COLUMNS} rows=${files} rowKey=${(file) => file.id} more=${more} grow=${grow} />`}
    </section>
    ${more && html`<div><button class="button" disabled=${busy} onClick=${grow}>${busy ? "Reading older datasets…" : "Show older datasets"}</button></div>`}
  <//>`;
}
