/** A job that someone looks at: the job, its messages and its curves, read once and then continued by what is new. */
import { useEffect, useRef, useState } from "preact/hooks";
import { get } from "./api.js";
import { continued, POINTS } from "./curves.js";
import { isFinal } from "./http.js";
import { hasEnded } from "./jobs.js";
import { caughtUp, firstOf, withOlder } from "./messages.js";

const QUICK = 2.5; // seconds between looks while something happens
const SLOW = 10; // while nothing does
const AWAY = 3; // until the first look is tried again

/**
 * @typedef {{job: any, messages: import("./messages.js").Messages, last: string | null, series: import("./curves.js").Series | undefined,
 *   error: Error | null, curvesError: Error | null}} Seen
 */
const NOTHING = { job: undefined, messages: firstOf([]), last: null, series: undefined, error: null, curvesError: null };

/** @returns {Seen & {reload: () => void, set: (job: any) => void, grow: () => Promise<void>}} set: what an action made of the job; grow: older messages */
export function useJob(id) {
  const [state, setState] = useState(NOTHING);
  const control = useRef({});
  useEffect(() => {
    const path = `/v1/fine_tuning/jobs/${encodeURIComponent(id)}`;
    const stop = new AbortController();
    let seen = NOTHING;
    let actions = 0; // an answer from before the last one shows a job that is out of date
    let pause = QUICK;
    let timer = 0;
    const show = (change) => {
      seen = { ...seen, ...change };
      if (!stop.signal.aborted) setState(seen);
    };

    /** The steps come last: those that follow the messages' last event are sent again, and none is missed. */
    async function begin() {
      const { actions: before, last: from } = { actions, last: seen.last };
      const { job, messages, last_id: last } = await get(`${path}/updates`, {}, stop.signal);
      const joined = await caughtUp(path, messages.reverse(), seen.messages, stop.signal);
      if (actions !== before || seen.last !== from) return;
      show({ job, messages: joined, last, error: null });
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
      const { actions: before, last: after } = { actions, last: seen.last };
      const found = await get(`${path}/updates`, { after }, stop.signal);
      if (actions !== before || seen.last !== after) return; // an action, or another look on the page's return, was faster
      if (found.has_more) return begin(); // nobody looked for a while
      const moved = found.last_id !== seen.last || found.job.status !== seen.job.status;
      pause = moved ? QUICK : Math.min(SLOW, pause * 1.5);
      show({
        job: found.job,
        messages: { ...seen.messages, rows: [...found.messages.reverse(), ...seen.messages.rows] },
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
        if (isFinal(error)) return;
      }
      if (stop.signal.aborted || (seen.job && hasEnded(seen.job) && seen.series)) return;
      clearTimeout(timer);
      timer = setTimeout(turn, (seen.job ? pause : AWAY) * 1000);
    }
    async function grow() {
      const { messages } = seen;
      const grown = await withOlder(path, messages, stop.signal);
      const added = grown.rows.slice(messages.rows.length);
      if (seen.messages.rows.at(-1) === messages.rows.at(-1)) show({ messages: { rows: [...seen.messages.rows, ...added], more: grown.more } });
    }

    control.current = { reload: turn, grow, set: (job) => ((actions += 1), show({ job }), turn()) };
    const shown = () => document.hidden || (seen.job && hasEnded(seen.job)) || turn();
    document.addEventListener("visibilitychange", shown);
    turn();
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", shown);
    };
  }, [id]);
  return { ...state, reload: () => control.current.reload(), grow: () => control.current.grow(), set: (job) => control.current.set(job) };
}
