/**
 * A vote in the making, as a value: each function returns another one.
 *
 * @typedef {{places: string[][], word: "tie" | "both_bad" | "skip" | null, note: string}} Ballot
 *   places: ids of responses, best first; those of one place tie. A pick is one place with one response.
 */

/** @type {Ballot} */
export const BLANK = { places: [], word: null, note: "" };

export const isPlaced = (ballot, id) => ballot.places.some((place) => place.includes(id));
/** From 1; 0: not placed. */
export const placeOf = (ballot, id) => ballot.places.findIndex((place) => place.includes(id)) + 1;

const without = (places, id) => places.map((place) => place.filter((each) => each !== id)).filter((place) => place.length > 0);

/** The response takes the next place, or leaves its place. */
export function pressed(ballot, mode, id) {
  if (mode === "pick") return { ...ballot, word: null, places: isPlaced(ballot, id) ? [] : [[id]] };
  const places = isPlaced(ballot, id) ? without(ballot.places, id) : [...ballot.places, [id]];
  return { ...ballot, word: null, places };
}

/** The responses of the last place join those of the place above. */
export function joined(ballot) {
  if (ballot.places.length < 2) return ballot;
  const [above, last] = ballot.places.slice(-2);
  return { ...ballot, word: null, places: [...ballot.places.slice(0, -2), [...above, ...last]] };
}

/** Takes the response that was placed last out again. */
export function stepBack(ballot) {
  if (ballot.word) return { ...ballot, word: null };
  const last = ballot.places.at(-1);
  return last ? { ...ballot, places: without(ballot.places, last.at(-1)) } : ballot;
}

/** Drops a response on a place, to tie with it, or between two places. @param {{place?: number, before?: number}} target */
export function dropped(ballot, id, { place, before }) {
  const marked = ballot.places.map((each) => each.filter((one) => one !== id));
  if (place !== undefined) marked[place] = [...marked[place], id];
  else marked.splice(before, 0, [id]);
  return { ...ballot, word: null, places: marked.filter((each) => each.length > 0) };
}

export const worded = (ballot, word) => ({ ...ballot, places: [], word: ballot.word === word ? null : word });

/** With the one response that is left, if it is one: it takes the last place. */
function filled(ballot, item) {
  const left = item.responses.filter((response) => !isPlaced(ballot, response.id));
  return left.length === 1 && ballot.places.length > 0 ? [...ballot.places, [left[0].id]] : ballot.places;
}

/** Why it cannot be sent yet; "" if it can. */
export function missing(ballot, mode, item) {
  if (ballot.word) return "";
  if (mode === "pick") return ballot.places.length ? "" : "Pick a response first.";
  const left = item.responses.length - filled(ballot, item).flat().length;
  if (left === 0) return "";
  if (ballot.places.length === 0) return "Rank the responses first, the best one first.";
  return left === 1 ? "1 response has no place yet." : `${left} responses have no place yet.`;
}

/** The body of the request. */
export function bodyOf(ballot, mode, item, seconds) {
  const choice = ballot.word
    ? { [ballot.word]: true }
    : mode === "pick"
      ? { pick: ballot.places[0][0] }
      : { ranking: filled(ballot, item) };
  const body = { item_id: item.id, vote_id: item.vote_id, ...choice, seconds: Math.min(86_400, Math.round(seconds * 1000) / 1000) };
  return ballot.note.trim() ? { ...body, note: ballot.note.trim() } : body;
}

/** The ballot that a stored vote was made from. */
export function ballotOf(vote, mode) {
  const note = vote.note ?? "";
  if (["tie", "both_bad", "skip"].includes(vote.choice)) return { places: [], word: vote.choice, note };
  const places = vote.ranking ?? [];
  return { places: mode === "pick" ? places.slice(0, 1) : places, word: null, note };
}
