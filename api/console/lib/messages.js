/** A job's messages, newest first and without a gap, however long nobody looked. */
import { get } from "./api.js";

const PAGE = 100; // as many as a look at a job begins with
const CATCH_UP = 10; // pages at most that are read to reach the messages on the screen

/** @typedef {{rows: any[], more: boolean}} Messages more: the server has older ones */

/** @returns {Messages} */
export const firstOf = (newest) => ({ rows: newest, more: newest.length >= PAGE });

async function older(path, rows, signal) {
  const page = await get(`${path}/events`, { type: "message", limit: PAGE, after: rows.at(-1).id }, signal);
  return { rows: [...rows, ...page.data], more: page.has_more };
}

/** With the next page of older ones. @param {Messages} messages @returns {Promise<Messages>} */
export const withOlder = (path, { rows }, signal) => older(path, rows, signal);

/**
 * The newest messages, joined to those that were known. After a very long absence the list begins anew: what it then
 * lacks is older, and a reader gets it as they get all older ones.
 *
 * @param {any[]} newest @param {Messages} known @returns {Promise<Messages>}
 */
export async function caughtUp(path, newest, known, signal) {
  let found = firstOf(newest);
  for (let pages = 0; ; pages += 1) {
    const joint = found.rows.findIndex((row) => row.id === known.rows[0]?.id);
    if (joint >= 0) return { rows: [...found.rows.slice(0, joint), ...known.rows], more: known.more };
    if (!found.more || known.rows.length === 0 || pages === CATCH_UP) return found;
    found = await older(path, found.rows, signal);
  }
}
