/** A job that someone looks at: the job, its messages and its curves, read once and then continued by what is new. */
import { useEffect, useRef, useState } from "preact/hooks";
import { get } from "./api.js";
import { continued, POINTS } from "./curves.js";
import { hasEnded } from "./jobs.js";

const QUICK = 2.5; // seconds between looks while something happens
const SLOW = 10; // while nothing does
const AWAY = 3; // until the first look is tried again

/**
 * @typedef {{job: any, messages: any[], last: string | null, series: import("./curves.js").Series | undefined,
 *   error: Error | null, curvesError: Error | null}} Seen messages: newest first
 */
const NOTHING = { job: undefined, messages: [], last: null, series: undefined, error: null, curvesError: null };

/** @returns {Seen & {reload: () => void, set: (job: any) => void}} set: what an action made of the job */
export function useJob(id) {
  const [state, setState] = useState(NOTHING);
  const control = useRef({});
  useEffect(() => {
    const path = `/v1/fine_tuning/jobs/${encodeURIComponent(id)}`;
    const stop = new AbortController();
    let seen = NOTHING;
    let pause = QUICK;
    let timer = 0;
    const show = (change) => {
      seen = { ...seen, ...change };
      if (!stop.signal.aborted) setState(seen);
    };

    /** The steps come last: those that follow the messages' last event are sent again, and none is missed. */
    async function begin() {
      const { job, messages, last_id: last } = await get(`${path}/updates`, {}, stop.signal);
      show({ job, messages: messages.reverse(), last, error: null });
      await curves();
    }
    async function curves() {
      try {
        const { series } = await get(`${path}/metrics`, { points: POINTS }, stop.signal);
        show({ series, curvesError: null });
      } catch (curvesError) {
        show({ curvesError });
      }
    }
    async function goOn() {
      const after = seen.last;
      const found = await get(`${path}/updates`, { after }, stop.signal);
      if (seen.last !== after) return; // another look, after an action or on the page's return, was faster
      if (found.has_more) return begin(); // nobody looked for a while
      const moved = found.last_id !== seen.last || found.job.status !== seen.job.status;
      pause = moved ? QUICK : Math.min(SLOW, pause * 1.5);
      show({
        job: found.job,
        messages: found.messages.length ? [...found.messages.reverse(), ...seen.messages] : seen.messages,
        last: found.last_id,
        series: seen.series && continued(seen.series, found.series),
        error: null,
      });
      if (!seen.series) await curves();
    }
    async function turn() {
      clearTimeout(timer);
      if (document.hidden && seen.job) return; // a hidden page costs the server nothing
      try {
        await (seen.job ? goOn() : begin());
      } catch (error) {
        if (stop.signal.aborted) return;
        show({ error });
        if (error.status >= 400 && error.status < 500) return; // the same request will not succeed later
      }
      if (stop.signal.aborted || (seen.job && hasEnded(seen.job) && seen.series)) return;
      clearTimeout(timer);
      timer = setTimeout(turn, (seen.job ? pause : AWAY) * 1000);
    }

    control.current = { reload: turn, set: (job) => (show({ job }), turn()) };
    const shown = () => document.hidden || (seen.job && hasEnded(seen.job)) || turn();
    document.addEventListener("visibilitychange", shown);
    turn();
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", shown);
    };
  }, [id]);
  return { ...state, reload: () => control.current.reload(), set: (job) => control.current.set(job) };
}
