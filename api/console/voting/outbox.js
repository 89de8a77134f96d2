/** Votes that the server has not confirmed. They outlive a reload, and are sent until the server answers. */
import { signal } from "@preact/signals";
import { isFinal } from "../lib/http.js";

const LONGEST_WAIT = 15; // seconds between two tries

const isClosed = (error) => error.status === 401 || error.status === 403;

function stored(slot) {
  try {
    return JSON.parse(localStorage.getItem(slot) ?? "[]");
  } catch {
    return [];
  }
}

/**
 * @param {(body: any) => Promise<any>} post
 * @param {{confirmed: (body: any) => void, refused: (body: any, error: Error) => void, closed: (error: Error) => void}} on
 *   closed: the invitation or the session has ended; the votes wait for another one
 */
export function openOutbox(post, on) {
  /** @type {import("@preact/signals").Signal<{waiting: any[], trouble: Error | null}>} trouble: why they could not be sent */
  const state = signal({ waiting: [], trouble: null });
  let slot = null;
  let sending = null;
  let wake = () => {};
  let over = false;

  function set(waiting, trouble = state.value.trouble) {
    state.value = { waiting, trouble };
    if (!slot) return;
    try {
      if (waiting.length) localStorage.setItem(slot, JSON.stringify(waiting));
      else localStorage.removeItem(slot);
    } catch {
      // they are still in this page's memory
    }
  }

  async function sendAll() {
    let tries = 0;
    while (state.value.waiting.length && !over) {
      const [body] = state.value.waiting;
      try {
        await post(body);
        set(state.value.waiting.filter((each) => each.vote_id !== body.vote_id), null);
        on.confirmed(body);
        tries = 0;
      } catch (error) {
        if (isClosed(error)) {
          on.closed(error);
          return;
        }
        if (isFinal(error)) {
          // the vote cannot count any more
          set(state.value.waiting.filter((each) => each.vote_id !== body.vote_id), null);
          on.refused(body, error);
        } else {
          set(state.value.waiting, error);
          const seconds = Math.min(LONGEST_WAIT, 2 ** tries++);
          await new Promise((resolve) => {
            const timer = setTimeout(resolve, seconds * 1000);
            wake = () => (clearTimeout(timer), resolve());
          });
        }
      }
    }
  }

  const flush = () => (sending ??= sendAll().finally(() => (sending = null)));
  return {
    state,
    /** What an earlier visit of the same annotator has left. */
    resume(comparison, annotator) {
      if (slot) return;
      slot = `fettle votes ${comparison} ${annotator}`;
      const earlier = stored(slot).filter((body) => !state.value.waiting.some((each) => each.vote_id === body.vote_id));
      set([...earlier, ...state.value.waiting]);
      if (earlier.length) flush();
    },
    add(body) {
      set([...state.value.waiting.filter((each) => each.vote_id !== body.vote_id), body]);
      flush();
    },
    has: (voteId) => state.value.waiting.some((body) => body.vote_id === voteId),
    /** Until nothing waits. */
    settled: () => flush(),
    retry: () => (wake(), flush()),
    close: () => ((over = true), wake()),
  };
}
