/** The base model against the tuned one on the validation file: figures, and samples side by side. */
import { useState } from "preact/hooks";
import { get } from "../lib/api.js";
import { figure, many, percent } from "../lib/format.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { words } from "../lib/metrics.js";
import { Said } from "./said.js";

const SHARES = /accuracy|exact_match|^reward_functions/;

export function Evaluation({ job }) {
  if (!job.validation_file || job.status === "queued") return null;
  return html`<${Shown} job=${job} />`;
}

/** [name, base, tuned] of every number, nested ones with dots. */
function figuresOf(base, tuned, name = "") {
  return Object.keys(base ?? {}).flatMap((key) => {
    const whole = name ? `${name} ${key}` : key;
    if (base[key] !== null && typeof base[key] === "object") return figuresOf(base[key], tuned?.[key] ?? {}, whole);
    return typeof base[key] === "number" ? [[whole, base[key], tuned?.[key]]] : [];
  });
}

function Shown({ job }) {
  const { data } = useLoad((signal) => get(`/v1/fine_tuning/jobs/${job.id}/evaluation`, {}, signal).catch(() => null), [job.id, job.status]);
  const [first, setFirst] = useState(3);
  if (!data) return null;
  const samples = data.samples ?? [];
  return html`<section class="stack" aria-labelledby="evaluation">
    <div class="stack tight">
      <h2 id="evaluation">Base against tuned</h2>
      <p class="small quiet">${many(data.rows, "validation row")}${data.rows_in_file > data.rows ? ` of ${data.rows_in_file}` : ""}, which the model has not trained on.</p>
    </div>
    <div class="card flush table-box"><table class="table">
      <thead><tr><th scope="col">Figure</th><th scope="col" class="end">Base</th><th scope="col" class="end">Tuned</th></tr></thead>
      <tbody>${figuresOf(data.base, data.tuned).map(([name, base, tuned]) => {
        const show = SHARES.test(name) ? percent : figure;
        return html`<tr key=${name}><td>${words(name)}</td><td class="end">${show(base)}</td><td class="end"><strong>${show(tuned)}</strong></td></tr>`;
      })}</tbody>
    </table></div>
    ${samples.slice(0, first).map((sample, place) => html`<article key=${place} class="card stack" aria-label=${`Sample ${place + 1}`}>
      <${Said} who="Prompt" what=${promptText(sample.prompt)} plain />
      <div class="sides">
        ${sample.base !== undefined && html`<${Said} who="Base" what=${sample.base} score=${sample.base_reward} />`}
        ${sample.tuned !== undefined && html`<${Said} who="Tuned" what=${sample.tuned} score=${sample.tuned_reward} />`}
        ${sample.expected !== undefined && html`<${Said} who="Expected" what=${sample.expected} />`}
        ${sample.chosen !== undefined && html`<${Said} who="Preferred in the data" what=${sample.chosen} />`}
        ${sample.rejected !== undefined && html`<${Said} who="Not preferred" what=${sample.rejected} />`}
      </div>
    </article>`)}
    ${samples.length > first && html`<div><button class="button" onClick=${() => setFirst(samples.length)}>Show ${samples.length - first} more samples</button></div>`}
  </section>`;
}

/** A prompt is a text, or messages. */
export function promptText(prompt) {
  if (typeof prompt === "string") return prompt;
  if (!Array.isArray(prompt)) return JSON.stringify(prompt);
  return prompt.map((message) => (prompt.length > 1 ? `${message.role}: ${textOf(message.content)}` : textOf(message.content))).join("\n\n");
}

const textOf = (content) => (typeof content === "string" ? content : JSON.stringify(content));
