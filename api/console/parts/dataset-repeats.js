/** Rows that a dataset has twice, and prompts that it shares with another dataset. */
import { useState } from "preact/hooks";
import { all, get } from "../lib/api.js";
import { isDataset } from "../lib/files.js";
import { count, many, percent } from "../lib/format.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { Loading } from "./loading.js";
import { Problem } from "./problem.js";
import { Select } from "./select.js";

/** @param {{file: any}} props */
export function DatasetRepeats({ file }) {
  const [against, setAgainst] = useState("");
  const others = useLoad((signal) => all("/v1/files", { limit: 100 }, 1000, signal));
  const { data, error, reload } = useLoad((signal) => get(`/v1/files/${encodeURIComponent(file.id)}/repeats`, { against }, signal), [file.id, against]);
  const options = (others.data ?? []).filter((each) => isDataset(each) && each.status === "processed" && each.id !== file.id).map((each) => [each.id, each.filename]);
  return html`<section class="card stack" aria-labelledby="repeats">
    <div class="row spread"><h2 id="repeats">Repeats</h2>
      ${options.length > 0 && html`<${Select} inline label="Overlap with" value=${against} choose=${setAgainst} options=${[["", "No other dataset"], ...options]} />`}</div>
    ${error ? html`<${Problem} error=${error} retry=${reload} />` : !data || (data.against ?? "") !== against ? html`<${Loading}>Comparing the rows<//>` : html`<${Shown} data=${data} />`}
  </section>`;
}

function Shown({ data: { rows, complete, duplicate_rows: twice, repeated_prompts: again, examples, near, overlap } }) {
  const looked = `${complete ? "the" : "the first"} ${many(rows, "row")}`;
  return html`
    <p class=${`message small ${twice ? "warn" : "good"}`}>${twice ? `${count(twice)} of ${looked} ${twice === 1 ? "repeats" : "repeat"} an earlier row whole. The model learns such rows more often than the others.` : `None of ${looked} comes twice.`}</p>
    ${examples.length > 0 && html`<${Lines} what="Repeated lines" words=${examples.map(({ line, of }) => `${count(line)} repeats ${count(of)}`)} total=${twice} />`}
    ${near.near_duplicate_rows > 0 && html`<p class="message small warn">${many(near.near_duplicate_rows, "row")} ${near.near_duplicate_rows === 1 ? "is" : "are"} nearly the same as an earlier row: only case, punctuation or a few words differ.${near.rows < rows - twice ? ` The first ${count(near.rows)} different rows were compared.` : ""}</p>
      <${Lines} what="Similar lines" words=${near.examples.map(({ line, of, similarity }) => `${count(line)} is like ${count(of)} (${percent(similarity)})`)} total=${near.near_duplicate_rows} />`}
    ${again > 0 && html`<p class="small quiet">${many(again, "row")} ${again === 1 ? "asks" : "ask"} what an earlier row asks, with another answer.</p>`}
    ${overlap && html`<p class=${`message small ${overlap.shared_rows ? "warn" : "good"}`}>${overlap.shared_rows
      ? `${many(overlap.shared_rows, "row")} of this dataset ${overlap.shared_rows === 1 ? "has a prompt" : "have prompts"} that the other one has as well. If one is for training and the other for validation, the figures show what was memorised.`
      : "The two datasets share no prompt."}${overlap.complete ? "" : ` Of the other one, the first ${many(overlap.rows, "row")} were compared.`}</p>
      ${overlap.examples.length > 0 && html`<${Lines} what="Shared lines" words=${overlap.examples.map(({ line, other_line: other }) => `${count(line)} is in line ${count(other)} of the other`)} total=${overlap.shared_rows} />`}`}`;
}

const Lines = ({ what, words, total }) => html`<details class="details"><summary>${what}</summary>
  <ul class="small">${words.map((each) => html`<li key=${each}>Line ${each}</li>`)}</ul>
  ${total > words.length && html`<p class="small faint">And ${count(total - words.length)} more.</p>`}</details>`;
