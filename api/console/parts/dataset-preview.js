/** What a job would train on: the tokens of the first rows, with those marked that are learned. */
import { useState } from "preact/hooks";
import { get } from "../lib/api.js";
import { count, figure, many, percent } from "../lib/format.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { LengthHistogram } from "./length-histogram.js";
import { Loading } from "./loading.js";
import { Problem } from "./problem.js";
import { Select } from "./select.js";

const FIRST = 5; // rows
const MORE = 50; // that a reader gets at a time

/** @param {{path: string, model?: string}} props model: whose tokens; without it the reader chooses one */
export function DatasetPreview({ path, model: fixed }) {
  const [model, setModel] = useState("");
  const models = useLoad((signal) => (fixed ? [fixed] : get("/v1/models", {}, signal).then((page) => page.data.filter((each) => each.kind === "chat").map((each) => each.id))));
  const chosen = model || models.data?.[0];
  const { data, error } = useLoad((signal) => (chosen ? get(`${path}/preview`, { model: chosen, limit: FIRST }, signal) : null), [path, chosen]);
  return html`<section class="stack" aria-labelledby="preview">
    <div class="row spread">
      <h2 id="preview">What the model sees</h2>
      ${models.data && !fixed && html`<${Select} label="Tokens of" value=${chosen} options=${models.data} choose=${setModel} inline />`}
    </div>
    ${error ? html`<${Problem} error=${error} />` : !data ? html`<div class="card"><${Loading}>Reading the rows<//></div>` : html`<${Shown} key=${chosen} data=${data} read=${(offset) => get(`${path}/preview`, { model: chosen, limit: MORE, offset })} />`}
  </section>`;
}

/** Figures of the rows that were looked at. */
function factsOf({ rows, tokens, supervised_share: share, row_tokens: lengths, rows_without_completion: without, complete }) {
  return [
    [complete ? "rows" : "rows looked at", count(rows)],
    ["tokens", count(tokens)],
    ["learned", percent(share)],
    ["tokens in a row", lengths && `${figure(lengths.median)}, at most ${figure(lengths.max)}`],
    ["rows without a completion", without ? count(without) : null],
  ].filter(([, value]) => value);
}

/** read: rows from an offset on */
function Shown({ data, read }) {
  const [others, setOthers] = useState([]);
  const [state, setState] = useState({ more: data.rows.length >= FIRST, busy: false, error: null });
  const rows = [...data.rows, ...others];
  async function grow() {
    setState({ ...state, busy: true });
    try {
      const page = await read(rows.length);
      setOthers([...others, ...page.rows]);
      setState({ more: page.rows.length >= MORE, busy: false, error: null });
    } catch (error) {
      setState({ more: true, busy: false, error });
    }
  }
  return html`
    <dl class="card tiles">${factsOf(data.summary).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    <${LengthHistogram} bars=${data.summary.length_histogram} lengths=${data.summary.row_tokens} />
    <p class="small quiet"><mark class="token learned">Marked tokens</mark> are learned. The others are what the model reads first.</p>
    ${rows.map((row) => html`<article key=${row.line} class="card stack tight far" aria-label=${`Line ${row.line}`}>
      <div class="row spread small"><span class="tag">Line ${row.line}</span>
        <span class="faint number">${many(row.token_count, "token")}, ${row.token_count ? percent(row.supervised_tokens / row.token_count) : 0} learned</span></div>
      <p class="tokens">${row.tokens.map((token, place) => html`<span key=${place} class=${`token ${row.loss_mask[place] ? "learned" : ""}`}>${token}</span>`)}</p>
      ${row.cut && html`<p class="small faint">The row goes on; the first ${count(row.tokens.length)} tokens are shown.</p>`}
    </article>`)}
    ${state.error && html`<${Problem} error=${state.error} />`}
    ${state.more && html`<div><button class="button" disabled=${state.busy} onClick=${grow}>${state.busy ? "Reading rows…" : "Show more rows"}</button></div>`}`;
}
