/** Python tried on samples: what it scores, what it prints and how long it takes, sample by sample. */
import { useEffect, useRef, useState } from "preact/hooks";
import { post } from "../lib/api.js";
import { duration, figure, many } from "../lib/format.js";
import { html } from "../lib/html.js";
import { FUNCTIONS } from "../lib/rewards.js";
import { Problem } from "../parts/problem.js";
import { Said } from "../parts/said.js";

const shortTime = (seconds) => (seconds < 1 ? `${figure(Math.round(seconds * 100_000) / 100)} ms` : duration(seconds));

/** @param {{source: string, samples: {completion: string, item: any}[], what?: string, check?: () => Error | null}} props what: the samples are. check: before they are sent */
export function Trial({ source, samples, what = "sample", check }) {
  const [results, setResults] = useState(null);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const running = useRef(null);
  useEffect(() => () => running.current?.abort(), []);
  async function run() {
    const stop = (running.current = new AbortController());
    setResults(null);
    setError(check?.() ?? null);
    if (check?.()) return;
    setBusy(true);
    try {
      const { data } = await post(`${FUNCTIONS}/try`, { source, samples }, stop.signal);
      setResults(data.map((result, place) => ({ ...result, completion: samples[place].completion })));
    } catch (problem) {
      if (stop.signal.aborted) return;
      setError(problem);
    }
    setBusy(false);
  }
  return html`<div class="stack tight">
    <div class="row"><button type="button" class="button small" disabled=${busy || samples.length === 0} onClick=${run}>${busy ? "Trying it in the sandbox…" : `Try on ${many(samples.length, what)}`}</button>
      <span class="small quiet" role="status">${results && summary(results)}</span></div>
    ${error && html`<${Problem} error=${error} />`}
    ${results && html`<ol class="lines">${results.map((result, place) => html`<li key=${place} class="stack tight">
      <div class="row spread small"><strong>${place + 1}. Score ${figure(result.score)}</strong><span class="faint number">${shortTime(result.seconds)}</span></div>
      <${Said} what=${result.completion} />
      ${result.printed && html`<${Said} who="Printed" what=${result.printed} />`}
      ${result.error && html`<p class="message bad small pre">${result.error}</p>`}
    </li>`)}</ol>`}
  </div>`;
}

function summary(results) {
  const failed = results.filter((result) => result.error).length;
  const known = results.filter((result) => result.score !== null);
  const mean = known.length ? `Mean score ${figure(known.reduce((sum, each) => sum + each.score, 0) / known.length)}` : "No score";
  return `${mean}, slowest ${shortTime(Math.max(...results.map((result) => result.seconds)))}${failed ? `, ${many(failed, "error")}` : ""}.`;
}
