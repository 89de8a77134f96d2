/** Python tried on samples: what it scores, what it prints and how long it takes, sample by sample. */
import { useEffect, useRef, useState } from "preact/hooks";
import { duration, figure, many } from "../lib/format.js";
import { html } from "../lib/html.js";
import { tryOn } from "../lib/rewards.js";
import { Problem } from "../parts/problem.js";
import { Said } from "../parts/said.js";

const milliseconds = (seconds) => (seconds < 1 ? `${figure(Math.round(seconds * 10000) / 10)} ms` : duration(seconds));

/** @param {{grader: any, samples: {completion: string, item: any}[], what?: string}} props what: the samples are */
export function Trial({ grader, samples, what = "sample" }) {
  const [results, setResults] = useState([]);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const running = useRef(null);
  useEffect(() => () => running.current?.abort(), []);
  async function run() {
    running.current?.abort();
    const stop = (running.current = new AbortController());
    setBusy(true);
    setError(null);
    setResults([]);
    try {
      for (const sample of samples) {
        const result = await tryOn(grader, sample, stop.signal);
        if (stop.signal.aborted) return;
        setResults((before) => [...before, { ...result, sample }]);
      }
    } catch (problem) {
      if (stop.signal.aborted) return;
      setError(problem);
    }
    setBusy(false);
  }
  return html`<div class="stack tight">
    <div class="row"><button type="button" class="button small" disabled=${busy || samples.length === 0} onClick=${run}>${busy ? `Trying, ${results.length} of ${samples.length}…` : `Try on ${many(samples.length, what)}`}</button>
      ${results.length > 0 && html`<span class="small quiet" role="status">${summary(results)}</span>`}</div>
    ${error && html`<${Problem} error=${error} />`}
    ${results.length > 0 && html`<ol class="lines trials">${results.map((result, place) => html`<li key=${place} class="stack tight">
      <div class="row spread small"><strong>Score ${figure(result.score)}</strong><span class="faint number">${milliseconds(result.seconds)}</span></div>
      <${Said} what=${result.sample.completion} />
      ${result.printed && html`<${Said} who="Printed" what=${result.printed} />`}
      ${result.error && html`<p class="message bad small">${result.error}</p>`}
    </li>`)}</ol>`}
  </div>`;
}

function summary(results) {
  const failed = results.filter((result) => result.error).length;
  const known = results.filter((result) => result.score !== null);
  const mean = known.length ? `Mean score ${figure(known.reduce((sum, each) => sum + each.score, 0) / known.length)}` : "No score";
  const slowest = milliseconds(Math.max(...results.map((result) => result.seconds)));
  return `${mean}, slowest ${slowest}${failed ? `, ${many(failed, "error")}` : ""}.`;
}
