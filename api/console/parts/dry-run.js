/** A reinforcement job tried on a few prompts: what its rewards say to what the model writes today. */
import { useEffect, useRef, useState } from "preact/hooks";
import { post } from "../lib/api.js";
import { duration, figure, many, percent } from "../lib/format.js";
import { html } from "../lib/html.js";
import { promptText } from "./evaluation.js";
import { Problem } from "./problem.js";
import { Said } from "./said.js";

/** @param {{body: any}} props of the job; null while something is missing */
export function DryRun({ body }) {
  const [found, setFound] = useState(null);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const running = useRef(null);
  useEffect(() => () => running.current?.abort(), []);
  async function run() {
    const stop = (running.current = new AbortController());
    setFound(null);
    setError(null);
    setBusy(true);
    try {
      setFound({ ...(await post("/v1/fine_tuning/dry_runs", body, stop.signal)), of: JSON.stringify(body) });
    } catch (problem) {
      if (!stop.signal.aborted) setError(problem);
    }
    setBusy(false);
  }
  return html`<section class="card stack" aria-labelledby="dry-run">
    <div class="row spread"><div class="grow"><h2 id="dry-run">Dry run</h2><p class="small quiet">The model writes a few completions, and the rewards score them. Nothing is trained.</p></div>
      <button type="button" class="button" disabled=${!body || busy} onClick=${run}>${busy ? "Writing and scoring…" : "Try the rewards"}</button></div>
    ${error && html`<${Problem} error=${error} />`}
    ${found && found.of !== JSON.stringify(body) && html`<p class="message warn small" role="status">The job has changed since this dry run.</p>`}
    ${found && html`<${Shown} found=${found} />`}
  </section>`;
}

function Shown({ found }) {
  const rows = [...Object.entries(found.scores), ["reward", found.rewards]];
  return html`
    <p class="small" role="status">${sentence(found)}</p>
    ${found.warnings.map((warning) => html`<p key=${warning.message} class="message warn small">${warning.message}</p>`)}
    ${found.failures.map((failure) => html`<p key=${failure.message} class="message bad small pre">${failure.count} × ${failure.grader ?? "the engine"}: ${failure.message}</p>`)}
    <div class="table-box" tabindex="0" role="region" aria-label="Scores"><table class="table"><thead><tr><th scope="col">Score</th>${["Mean", "Lowest", "Highest"].map((title) => html`<th key=${title} scope="col" class="end">${title}</th>`)}</tr></thead>
      <tbody>${rows.map(([name, spread]) => html`<tr key=${name}><td class="wrap">${name}</td>${[spread.mean, spread.min, spread.max].map((value, place) => html`<td key=${place} class="end">${figure(value)}</td>`)}</tr>`)}</tbody></table></div>
    ${found.examples.map((example, place) => html`<div key=${place} class="stack tight">
      <${Said} plain who="Prompt" what=${promptText(example.prompt)} />
      <${Said} who="Completion" what=${example.completion} score=${example.reward} />
    </div>`)}`;
}

function sentence({ prompts, samples, completion_length_mean: length, seconds, groups, dead_groups: dead }) {
  const spread = dead === null ? "" : ` In ${percent(dead)} of ${many(groups, "group")} all rewards are equal, and such a group teaches nothing.`;
  return `${many(prompts, "prompt")} with ${many(samples, "completion")} each, ${figure(Math.round(length))} tokens on average, written in ${duration(seconds.generation)} and scored in ${duration(seconds.scoring)}.${spread}`;
}
