/** A long list: read page by page as the reader comes to its end, and kept fresh from then on. */
import { useEffect, useRef, useState } from "preact/hooks";
import { get } from "./api.js";

const LIMIT = 100; // of a page, as the API allows
const EMPTY = { rows: undefined, more: false, error: null, busy: false };

/** The rows with a page that was read again in its place; without `more` the list ends with it. */
export function spliced(rows, after, page, more) {
  const start = after === undefined ? 0 : rows.findIndex((row) => row.id === after) + 1;
  const last = page.at(-1)?.id;
  const end = more ? rows.findIndex((row) => row.id === last) + 1 : rows.length;
  return [...rows.slice(0, start), ...page, ...(end > start ? rows.slice(end) : [])];
}

/**
 * @param {string} path of a list with `limit` and `after`
 * @param {{limit?: number, every?: (rows: any[]) => number}} [options] every: seconds until the first page, and in turn
 *   one of the others, is read again
 * @returns {{rows: any[] | undefined, more: boolean, error: Error | null, busy: boolean, reload: () => void, grow: () => void}}
 *   grow: reads the next page
 */
export function usePages(path, { limit = LIMIT, every } = {}) {
  const [state, setState] = useState(EMPTY);
  const control = useRef({});
  useEffect(() => {
    const stop = new AbortController();
    let seen = EMPTY;
    let timer = 0;
    let turn = 0;
    const show = (change) => {
      seen = { ...seen, ...change };
      if (!stop.signal.aborted) setState(seen);
    };
    async function read(after) {
      const page = await get(path, { limit, after }, stop.signal);
      const rows = spliced(seen.rows ?? [], after, page.data, page.has_more);
      const atEnd = rows.at(-1)?.id === page.data.at(-1)?.id;
      show({ rows, more: atEnd ? page.has_more : seen.more, error: null });
    }
    async function guarded(work) {
      try {
        await work();
      } catch (error) {
        if (!stop.signal.aborted) show({ error });
      }
    }
    async function refresh() {
      clearTimeout(timer);
      if (!document.hidden || !seen.rows) {
        await guarded(async () => {
          await read();
          const others = Math.ceil(seen.rows.length / limit) - 1;
          if (others > 0) await read(seen.rows[limit * ((turn++ % others) + 1) - 1]?.id);
        });
      }
      if (every && !stop.signal.aborted) timer = setTimeout(refresh, every(seen.rows ?? []) * 1000);
    }
    async function grow() {
      if (seen.busy || !seen.more) return;
      show({ busy: true });
      await guarded(() => read(seen.rows.at(-1).id));
      show({ busy: false });
    }
    /** Every page that was read, as after an action that may have changed any of them. */
    async function reload() {
      const ends = (seen.rows ?? []).slice(0, -1).filter((_, place) => (place + 1) % limit === 0).map((row) => row.id);
      await guarded(async () => {
        for (const after of [undefined, ...ends]) await read(after);
      });
    }
    control.current = { reload, grow };
    refresh();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [path, limit]);
  return { ...state, reload: () => control.current.reload(), grow: () => control.current.grow() };
}
