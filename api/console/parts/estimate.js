import { useEffect, useState } from "preact/hooks";
import { post } from "../lib/api.js";
import { count, duration } from "../lib/format.js";
import { html } from "../lib/html.js";

const PAUSE = 500; // milliseconds without a change before the server is asked

/** What the job would take. @param {{body: any}} props null while something is missing */
export function Estimate({ body }) {
  const [found, setFound] = useState(null);
  const key = body && JSON.stringify(body);
  useEffect(() => {
    setFound(null);
    if (!key) return;
    const stop = new AbortController();
    const timer = setTimeout(() => post("/v1/fine_tuning/estimate", JSON.parse(key), stop.signal).then(setFound).catch((error) => !stop.signal.aborted && setFound({ error })), PAUSE);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [key]);
  if (!key) return html`<p class="quiet">With a model and a dataset chosen, this says how long the job takes and whether it fits in memory.</p>`;
  if (!found) return html`<p class="quiet" role="status">Estimating…</p>`;
  if (found.error) return found.error.code === "unknown_url" ? null : html`<p class="message bad" role="alert">${found.error.message}</p>`;
  const rows = rowsOf(found).filter(([, value]) => value);
  return html`<div class="stack tight"><h2>Estimate</h2>
    <dl class="facts">${rows.map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${value}</dd>`)}</dl>
    ${found.memory?.message && html`<p class=${`small ${found.memory.fits === false ? "message bad" : "quiet"}`}>${found.memory.message}</p>`}
  </div>`;
}

function rowsOf({ tokens, steps, seconds, queue, cost }) {
  const time = typeof seconds === "number" ? duration(seconds) : seconds ? `about ${duration(seconds.likely)} (${duration(seconds.low)} to ${duration(seconds.high)})` : "";
  return [["Time", time], ["Tokens", typeof tokens === "number" && count(tokens)], ["Steps", typeof steps === "number" && count(steps)], ["Cost", cost && `about ${cost.likely} ${cost.currency}`], ["Queue", queue?.message]];
}
