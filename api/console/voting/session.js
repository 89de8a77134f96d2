/** An annotator's way through a comparison: the item that is shown, those after it, and the votes that were made. */
import { signal } from "@preact/signals";
import { send } from "../lib/api.js";
import { isFinal, json } from "../lib/http.js";
import { invitationTo } from "../lib/invitation.js";
import { ballotOf, BLANK, bodyOf } from "./ballot.js";
import { openOutbox } from "./outbox.js";
import { startStopwatch } from "./stopwatch.js";

const AHEAD = 2; // items that are fetched before they are shown
const AT_ONCE = 5; // items in one answer
const ASK_AGAIN = 5; // seconds, while no item is there
const RENEW = 40; // seconds between two renewals of the leases of items that are not shown yet
const STILL_THERE = 600; // seconds on one item, after which nobody seems to be there and they are not renewed

/**
 * phase: loading | item | none | problem. head: name, mode, instructions and annotator. before: the ballot of a vote
 * that was taken back.
 */
export function startVoting(comparison) {
  const state = signal({ phase: "loading", head: null, item: null, before: BLANK, progress: null, message: "", error: null, refused: null });
  const set = (changes) => (state.value = { ...state.value, ...changes });
  const base = `/v1/comparisons/${encodeURIComponent(comparison)}`;
  const token = invitationTo(comparison);
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const ask = async (method, path, options = {}) => json(await send(method, base + path, { headers, ...options }));

  let queue = [];
  const made = []; // items of this visit's votes, with their ballots
  const confirmed = new Set(); // ids of votes; an answer that was under way may still list their items as open
  const watch = startStopwatch();
  let timer = 0;
  let refilling = null;
  let closed = false;

  const outbox = openOutbox((body) => ask("POST", "/votes", { body }), {
    confirmed(body) {
      confirmed.add(body.vote_id);
      const { progress } = state.value;
      set({ progress: { ...progress, voted: progress.voted + 1, wanted: Math.max(progress.wanted, progress.voted + 1) } });
      refill();
    },
    refused(body, error) {
      confirmed.add(body.vote_id);
      set({ refused: error });
      refill();
    },
    closed: (error) => set({ phase: "problem", error }),
  });

  function show(item, before = BLANK) {
    watch.restart();
    set({ phase: "item", item, before });
  }

  function advance() {
    const item = queue.shift();
    if (item) show(item);
    else set({ phase: state.value.message ? "none" : "loading", item: null });
  }

  const refill = () => (state.value.item && queue.length >= AHEAD ? null : renew());
  const renew = () => (refilling ??= fetchItems().finally(() => (refilling = null)));

  async function fetchItems() {
    clearTimeout(timer);
    if (closed) return;
    try {
      const wanted = 1 + AHEAD + outbox.state.value.waiting.length;
      const answer = await ask("GET", "/next", { query: { resume: true, count: Math.min(AT_ONCE, wanted) } });
      if (closed) return;
      const { name, mode, instructions, annotator, progress, item, upcoming, message } = answer;
      outbox.resume(comparison, annotator.id);
      const done = (each) => each.vote_id === state.value.item?.vote_id || confirmed.has(each.vote_id) || outbox.has(each.vote_id);
      const fresh = new Map([item, ...upcoming].filter((each) => each && !done(each)).map((each) => [each.vote_id, each]));
      queue = [...new Map([...queue.map((each) => [each.vote_id, each]), ...fresh]).values()]; // in their order, with their newest leases
      set({ head: { name, mode, instructions, annotator }, progress, message: message ?? "", error: null });
      if (!state.value.item) advance();
      if (!state.value.item) timer = setTimeout(refill, ASK_AGAIN * 1000);
    } catch (error) {
      if (closed) return;
      if (isFinal(error)) {
        if (!state.value.item || error.status === 401) set({ phase: "problem", error });
        return;
      }
      if (!state.value.item) set({ phase: "problem", error });
      timer = setTimeout(refill, 3000);
    }
  }

  /** Others may have the items that were never shown; the one on the screen stays ours, as a reload shows it again. */
  function release() {
    const leases = Object.fromEntries(queue.map((each) => [each.vote_id, each.lease]));
    queue = [];
    if (Object.keys(leases).length) ask("POST", "/release", { body: { leases }, keepalive: true }).catch(() => {}); // they end by themselves
  }
  function beat() {
    if (watch.seconds() > STILL_THERE) release();
    else if (!document.hidden && state.value.item) renew();
  }
  /** Leases may have ended while nobody looked. */
  function back() {
    if (document.hidden || !state.value.head) return;
    queue = [];
    renew();
  }
  const beating = setInterval(beat, RENEW * 1000);
  addEventListener("pagehide", release);
  addEventListener("pageshow", back);
  document.addEventListener("visibilitychange", back);

  return {
    state,
    outbox,
    invited: token !== null,
    start: refill,
    send(item, ballot) {
      const { head } = state.value;
      if (item !== state.value.item) return; // a key that was pressed twice
      made.push({ item, ballot });
      outbox.add(bodyOf(ballot, head.mode, item, watch.seconds()));
      set({ refused: null });
      advance();
    },
    /** Takes the newest vote back and shows its item again. Throws ApiError. @returns {Promise<boolean>} whether there was one */
    async undo() {
      await outbox.settled();
      const last = made.at(-1) ?? (await newest());
      if (!last) return false;
      await ask("DELETE", `/votes/${last.item.vote_id}`);
      made.pop();
      confirmed.delete(last.item.vote_id);
      const { item, progress } = state.value;
      if (item) queue.unshift(item);
      set({ progress: { ...progress, voted: Math.max(0, progress.voted - 1) } });
      show(last.item, last.ballot);
      return true;
    },
    retry() {
      set({ phase: state.value.item ? "item" : "loading", error: null });
      outbox.retry();
      refill();
    },
    close() {
      release();
      closed = true;
      clearTimeout(timer);
      clearInterval(beating);
      removeEventListener("pagehide", release);
      removeEventListener("pageshow", back);
      document.removeEventListener("visibilitychange", back);
      watch.stop();
      outbox.close();
    },
  };

  /** The newest vote of an earlier visit. */
  async function newest() {
    const page = await ask("GET", "/votes/mine", { query: { limit: 1 } });
    if (!page.data.length) return null;
    const vote = await ask("GET", `/votes/${page.data[0].id}`);
    return { item: vote.item, ballot: ballotOf(vote, state.value.head.mode) };
  }
}
