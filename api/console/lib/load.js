/** Data of a page, read when it opens and, where asked for, again and again while someone looks. */
import { useEffect, useRef, useState } from "preact/hooks";
import { isFinal } from "./http.js";

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
    let newest = 0; // of the reads under way; the answers of those before it are out of date
    const wait = () => {
      const seconds = typeof every === "function" ? (latest === undefined ? 3 : every(latest)) : every;
      if (seconds) timer = setTimeout(turn, seconds * 1000);
    };
    async function turn() {
      if (document.hidden && latest !== undefined) return; // a hidden page costs the server nothing
      const number = ++newest;
      const outdated = () => stop.signal.aborted || number !== newest;
      try {
        const data = await read(stop.signal, latest);
        if (outdated()) return;
        latest = data;
        setState({ data, error: null, loading: false });
      } catch (error) {
        if (outdated()) return;
        setState((before) => ({ ...before, error, loading: false }));
        if (isFinal(error)) return;
        if (error.status === 0 && !every) timer = setTimeout(turn, 3000);
      }
      wait();
    }
    const shown = () => {
      if (!document.hidden) again.current();
    };
    again.current = (data) => {
      clearTimeout(timer);
      newest += 1;
      if (data === undefined) return turn();
      latest = data;
      setState({ data, error: null, loading: false });
      wait();
    };
    if (every) document.addEventListener("visibilitychange", shown);
    turn();
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", shown);
    };
  }, inputs);
  return { ...state, reload: () => again.current(), set: (data) => again.current(data) };
}
