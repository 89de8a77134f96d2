/** How far the learner is, kept in this browser: a lesson goes on where it was when its page is opened again. */
import { signal } from "@preact/signals";
import { session } from "../lib/session.js";

/**
 * guess: number of the option. comparison, job: ids. retry: makes a repeated request the same request. marks: of the base
 * and the tuned model. numbers: what the job itself measured.
 *
 * @typedef {{guess?: number, comparison?: string, job?: string, retry?: string, marks?: {base: any, tuned: any},
 *   numbers?: Record<string, number>, seconds?: number, model?: string}} Progress
 */

const slot = () => `fettle learn ${session.value?.project.id}`;

/** @returns {Record<string, Progress>} */
function stored() {
  try {
    return JSON.parse(localStorage.getItem(slot()) ?? "{}");
  } catch {
    return {};
  }
}

const kept = signal({ slot: "", lessons: {} });

function all() {
  if (kept.peek().slot !== slot()) kept.value = { slot: slot(), lessons: stored() };
  return kept.value.lessons;
}

/** @returns {Progress} */
export const progressOf = (lesson) => all()[lesson] ?? {};

/** The lesson whose votes are made in a comparison, if there is one. */
export const lessonWith = (comparison) => (session.value ? Object.keys(all()).find((lesson) => all()[lesson].comparison === comparison) : undefined);

function keep(lessons) {
  kept.value = { slot: slot(), lessons };
  try {
    localStorage.setItem(slot(), JSON.stringify(lessons));
  } catch {
    // it lasts until the page is reloaded
  }
}

/** @param {Progress} changes */
export const remember = (lesson, changes) => keep({ ...all(), [lesson]: { ...progressOf(lesson), ...changes } });

/** A new run; the guess is made anew. */
export const startOver = (lesson) => keep({ ...all(), [lesson]: {} });

/** A key for requests that must not happen twice. */
export function retryKey(lesson) {
  const made = progressOf(lesson).retry ?? crypto.getRandomValues(new Uint32Array(4)).join("-");
  remember(lesson, { retry: made });
  return made;
}
