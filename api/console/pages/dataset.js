/** One dataset: its problems at their lines, or what a model will see of it. */
import { useState } from "preact/hooks";
import { announce } from "../lib/announce.js";
import { get, remove } from "../lib/api.js";
import { rowsOf, shapeOf } from "../lib/files.js";
import { bytes, count, many, moment } from "../lib/format.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { go, link } from "../lib/router.js";
import { may } from "../lib/session.js";
import { Confirm } from "../parts/confirm.js";
import { DatasetPreview } from "../parts/dataset-preview.js";
import { DatasetProblems } from "../parts/dataset-problems.js";
import { DatasetRepeats } from "../parts/dataset-repeats.js";
import { Dropzone } from "../parts/dropzone.js";
import { Loading } from "../parts/loading.js";
import { Page as Frame } from "../parts/page.js";
import { Problem } from "../parts/problem.js";
import { Status } from "../parts/status.js";

const BACK = ["#/datasets", "Datasets"];

export function Page({ id }) {
  const path = `/v1/files/${encodeURIComponent(id)}`;
  const { data: file, error, loading, reload } = useLoad((signal) => get(path, {}, signal), [id]);
  const [asking, setAsking] = useState(false);
  if (loading) return html`<${Frame} title="Dataset" back=${BACK}><${Loading}>Loading the dataset<//><//>`;
  if (!file) return html`<${Frame} title="Dataset" back=${BACK}><${Problem} error=${error} retry=${reload} /><//>`;

  const broken = file.status === "error";
  const title = html`<span class="row"><span>${file.filename}</span> <${Status} of=${file.status} /></span>`;
  const lead = broken
    ? `${many(file.validation.error_count, "problem")}. Fix ${file.validation.error_count === 1 ? "it" : "them"} and upload the file again.`
    : `${shapeOf(file)}, ${rowsOf(file) === null ? "" : `${many(rowsOf(file), "row")}, `}${bytes(file.bytes)}.`;
  const actions = html`
    ${!broken && may("jobs.write") && html`<a class="button primary" href=${`#/new-job?file=${encodeURIComponent(file.id)}`}>Train on it</a>`}
    <a class="button" href=${`${path}/content`} download=${file.filename}>Download</a>
    ${may("files.write") && html`<button class="button danger" onClick=${() => setAsking(true)}>Delete</button>`}`;
  const facts = [["Id", html`<span class="mono">${file.id}</span>`], ["Uploaded", moment(file.created_at)], ["Format", file.validation?.format], ["Valid rows", rowsOf(file) !== null && count(rowsOf(file))], ["Size", bytes(file.bytes)]];
  return html`<${Frame} title=${title} lead=${lead} back=${BACK} actions=${actions}>
    ${broken && html`<${DatasetProblems} problems=${file.validation.errors} total=${file.validation.error_count} />`}
    ${broken && may("files.write") && html`<section class="stack" aria-labelledby="again"><h2 id="again">Upload the corrected file</h2>
      <${Dropzone} compact done=${(made) => go(link("datasets", made.id))} /></section>`}
    ${file.validation?.notes?.length > 0 && html`<${DatasetProblems} problems=${file.validation.notes} total=${file.validation.notes.length} notes />`}
    ${!broken && html`<${DatasetPreview} path=${path} /><${DatasetRepeats} file=${file} />`}
    <section class="card"><dl class="facts">${facts.filter(([, value]) => value).map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${value}</dd>`)}</dl></section>
    ${asking && html`<${Confirm} title=${`Delete ${file.filename}?`} action="Delete the dataset" close=${() => setAsking(false)}
      act=${async () => {
        await remove(path);
        announce(`${file.filename} is deleted.`);
        go("#/datasets");
      }}>Models that were trained on it stay. This cannot be undone.<//>`}
  <//>`;
}
