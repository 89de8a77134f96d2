/** One button from votes to a job. */
import { useState } from "preact/hooks";
import { announce } from "../lib/announce.js";
import { get, send } from "../lib/api.js";
import { KINDS, pathOf } from "../lib/comparisons.js";
import { many } from "../lib/format.js";
import { html } from "../lib/html.js";
import { json } from "../lib/http.js";
import { useLoad } from "../lib/load.js";
import { go, link } from "../lib/router.js";
import { Field } from "../parts/field.js";
import { Problem } from "../parts/problem.js";

const METHODS = {
  rlhf: { rows: "rankings", title: "RLHF", words: "A reward model learns the taste, and the model learns from it." },
  dpo: { rows: "pairs", title: "DPO", words: "The model learns from pairs of a better and a worse response." },
  reward_model: { rows: "rankings", title: "Reward model", words: "A model that only scores, for later jobs." },
};
const CHECKPOINT = /:ckpt-step-\d+$/;

/** How many rows a job still needs, as a sentence; "" if none. */
function lacking(results, kind) {
  const missing = results.rows_needed - results.rows[kind];
  if (missing <= 0) return "";
  return `${many(missing, `more ${KINDS[kind]}`, `more ${kind}`)} ${missing === 1 ? "is" : "are"} needed. A job trains on at least ${results.rows_needed}, and the votes give ${results.rows[kind]}.`;
}

export function Train({ comparison, results }) {
  const [method, setMethod] = useState(comparison.mode === "pick" ? "dpo" : "rlhf");
  const [model, setModel] = useState("");
  const [suffix, setSuffix] = useState("");
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const [retryKey] = useState(() => crypto.getRandomValues(new Uint32Array(4)).join("-"));
  const { data } = useLoad((signal) => get("/v1/models", {}, signal), []);
  const models = (data?.data ?? []).filter((each) => each.kind !== "reward_model").map((each) => each.id);
  const start = model || comparison.models.find((each) => models.includes(each) || CHECKPOINT.test(each)) || models[0] || "";
  const { rows, words } = METHODS[method];
  const missing = lacking(results, rows);

  async function train(event) {
    event.preventDefault();
    setBusy(true);
    setError(null);
    const body = { model: start, method: { type: method }, ...(suffix.trim() && { suffix: suffix.trim() }) };
    try {
      const headers = { "idempotency-key": `${retryKey}-${method}-${start}-${results.votes}` };
      const job = await json(await send("POST", pathOf(comparison.id, "train"), { body, headers }));
      announce("The job is created.");
      go(link("jobs", job.id));
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  }

  return html`<form class="card stack" aria-labelledby="train" onSubmit=${train}>
    <div class="stack tight"><h2 id="train">Train on these votes</h2><p class="small quiet">${words}</p></div>
    <div class="grid-3">
      <${Field} label="Method">${(attributes) => html`<select ...${attributes} class="input" value=${method} onChange=${(event) => setMethod(event.target.value)}>
        ${Object.entries(METHODS).map(([key, { title }]) => html`<option key=${key} value=${key}>${title}</option>`)}</select>`}<//>
      <${Field} label="Start from">${(attributes) => html`<select ...${attributes} class="input" value=${start} onChange=${(event) => setModel(event.target.value)}>
        ${[...new Set([...(start ? [start] : []), ...models])].map((each) => html`<option key=${each} value=${each}>${each}</option>`)}</select>`}<//>
      <${Field} label="Name of the tuned model (optional)">${(attributes) => html`<input ...${attributes} class="input" maxlength="64" value=${suffix} onInput=${(event) => setSuffix(event.target.value)} />`}<//>
    </div>
    ${missing && html`<p class="message warn" role="status">${missing}</p>`}
    ${error && html`<${Problem} error=${error} />`}
    <div class="row"><button class="button primary" disabled=${busy || missing !== ""}>${busy ? "Creating the job…" : "Train"}</button>
      <span class="small quiet">Votes that a job trains on can no longer change.</span></div>
  </form>`;
}
