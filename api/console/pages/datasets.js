/** Datasets: upload one, and see what is wrong with it. */
import { useState } from "preact/hooks";
import { all } from "../lib/api.js";
import { isDataset, rowsOf, shapeOf } from "../lib/files.js";
import { bytes, count } from "../lib/format.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
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
const STEP = 100;

export function Page() {
  const [shown, setShown] = useState(STEP);
  const { data, error, loading, reload } = useLoad((signal) => all("/v1/files", { limit: 100 }, 1000, signal));
  const files = data?.filter(isDataset) ?? [];
  const lead = "What models learn from. Rows can hold conversations, prompts with completions, preferences, rankings, or prompts for a reward.";
  return html`<${Frame} title="Datasets" lead=${lead}>
    ${may("files.write") && html`<${Dropzone} done=${(file) => go(link("datasets", file.id))} />`}
    ${error && html`<${Problem} error=${error} retry=${reload} />`}
    <section class="card flush" aria-label="Datasets">
      ${loading && html`<${Loading}>Loading datasets<//>`}
      ${data && files.length === 0 && html`<${Empty} title="No datasets yet">Drop a file above. Fettle says for each line what is wrong with it and how to fix it.<//>`}
      ${files.length > 0 && html`<${Table} caption="Datasets" columns=${COLUMNS} rows=${files.slice(0, shown)} rowKey=${(file) => file.id} />`}
    </section>
    ${files.length > shown && html`<div><button class="button" onClick=${() => setShown(shown + STEP)}>Show older datasets</button></div>`}
  <//>`;
}
