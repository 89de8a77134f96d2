/** A job's curves: read once, thinned by the server, then continued step by step while the job runs. */
import { useEffect, useRef, useState } from "preact/hooks";
import { get } from "./api.js";

export const POINTS = 800;

/** @typedef {Record<string, {step: number[], value: number[]}>} Series */

/** Adds what came after `series`; steps that a resumed run did again replace the old ones. */
export function continued(series, more) {
  const joined = { ...series };
  for (const [name, { step, value }] of Object.entries(more)) {
    if (step.length === 0) continue;
    const old = joined[name] ?? { step: [], value: [] };
    let keep = old.step.length;
    while (keep > 0 && old.step[keep - 1] >= step[0]) keep -= 1;
    joined[name] = { step: [...old.step.slice(0, keep), ...step], value: [...old.value.slice(0, keep), ...value] };
  }
  return joined;
}

/** The step that was reached. */
export function reachedIn(series) {
  const total = series?.total_steps;
  return total?.step.length ? { step: total.step.at(-1), total: total.value.at(-1) } : {};
}

/** @param {boolean} live whether steps are still to come @returns {{series: Series | undefined, error: Error | null}} */
export function useCurves(jobId, live) {
  const [state, setState] = useState({ series: undefined, error: null });
  const seen = useRef({ series: {}, last: null });
  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    async function turn() {
      if (document.hidden && seen.current.last) {
        timer = setTimeout(turn, 2500);
        return;
      }
      try {
        const query = { points: POINTS, after: seen.current.last };
        const answer = await get(`/v1/fine_tuning/jobs/${jobId}/metrics`, query, stop.signal);
        const fresh = answer.last_id !== seen.current.last || !seen.current.last;
        seen.current = { series: continued(seen.current.series, answer.series), last: answer.last_id };
        if (fresh) setState({ series: seen.current.series, error: null });
      } catch (error) {
        if (stop.signal.aborted) return;
        setState((before) => ({ ...before, error }));
      }
      if (live && !stop.signal.aborted) timer = setTimeout(turn, 2500);
    }
    turn();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [jobId, live]);
  return state;
}
