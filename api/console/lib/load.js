/** Data of a page, read when it opens and, where asked for, again and again while someone looks. */
import { useEffect, useRef, useState } from "preact/hooks";

/**
 * @template T
 * @param {(signal: AbortSignal, before?: T) => Promise<T>} read with what the last read of the same inputs gave
 * @param {any[]} [inputs] a change reads anew
 * @param {number | ((data: T) => number | null)} [every] seconds until the next read; null or 0: none
 * @returns {{data: T | undefined, error: Error | null, loading: boolean, reload: () => void, set: (data: T) => void}}
 */
export function useLoad(read, inputs = [], every = 0) {
  const [state, setState] = useState({ data: undefined, error: null, loading: true });
  const again = useRef(() => {});
  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    let latest;
    const wait = () => {
      const seconds = typeof every === "function" ? (latest === undefined ? 3 : every(latest)) : every;
      if (seconds) timer = setTimeout(turn, seconds * 1000);
    };
    async function turn() {
      if (document.hidden && latest !== undefined) return; // a hidden page costs the server nothing
      try {
        latest = await read(stop.signal, latest);
        if (!stop.signal.aborted) setState({ data: latest, error: null, loading: false });
      } catch (error) {
        if (stop.signal.aborted) return;
        setState((before) => ({ ...before, error, loading: false }));
        if (error.status >= 400 && error.status < 500) return; // the same request will not succeed later
        if (error.status === 0 && !every) timer = setTimeout(turn, 3000);
      }
      if (!stop.signal.aborted) wait();
    }
    const shown = () => {
      if (!document.hidden) again.current();
    };
    again.current = () => {
      clearTimeout(timer);
      turn();
    };
    if (every) document.addEventListener("visibilitychange", shown);
    turn();
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", shown);
    };
  }, inputs);
  return { ...state, reload: () => again.current(), set: (data) => setState({ data, error: null, loading: false }) };
}
