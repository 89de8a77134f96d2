/** Rollouts of one step, in the order in which people read them, and pairs that people pick of them. */
import { figure, many } from "./format.js";

/** A reward that is not known comes last. */
const rank = (row) => row.reward ?? -Infinity;

/** Each prompt's completions, best to worst. @param {any[]} rows of one step @returns {any[][]} */
export function groupsOf(rows) {
  const groups = new Map();
  for (const row of rows) groups.set(row.group, [...(groups.get(row.group) ?? []), row]);
  return [...groups.values()].map((group) => group.sort((one, other) => (rank(one) === rank(other) ? 0 : rank(other) - rank(one))));
}

/** Completions that say the same and score the same, as one. @param {any[]} group @returns {{row: any, times: number}[]} */
export function alike(group) {
  const found = new Map();
  for (const row of group) {
    const key = JSON.stringify([row.completion, row.turns, row.reward, row.scores, row.printed, row.errors]);
    const same = found.get(key);
    if (same) same.times++;
    else found.set(key, { row, times: 1 });
  }
  return [...found.values()];
}

export function meanReward(rows) {
  const known = rows.filter((row) => row.reward !== null);
  return known.length ? known.reduce((sum, row) => sum + row.reward, 0) / known.length : null;
}

/** "8 prompts, 64 completions, mean reward 0.4." */
export function stepSummary(rows) {
  const mean = meanReward(rows);
  const failed = rows.filter((row) => Object.keys(row.errors ?? {}).length).length;
  const versions = [...new Set(rows.map((row) => row.reward_version).filter(Boolean))].sort((one, other) => one - other);
  return [
    many(new Set(rows.map((row) => row.group)).size, "prompt"),
    many(rows.length, "completion"),
    mean === null ? "no rewards" : `mean reward ${figure(mean)}`,
    failed > 0 && `${many(failed, "completion")} with an error of a grader`,
    versions.length > 0 && `scored by version ${versions.join(" and ")} of the rewards`,
  ].filter(Boolean).join(", ") + ".";
}

/** Whoever learned from a completion that was cut off would learn to end where it was cut. */
export const wasCut = (row) => row.stop_reason === "length";

/** The best and the worst of a prompt, where they differ. @param {any[]} group best to worst */
export function extremes(group) {
  const known = group.filter((row) => row.reward !== null);
  const better = known.find((row) => !wasCut(row));
  const last = known.at(-1);
  const worse = known.find((row) => row.reward === last?.reward && row.completion === last.completion); // the first of those alike
  return better && better.reward > worse.reward && better.completion !== worse.completion ? { better, worse } : null;
}

/** @typedef {{better?: any, worse?: any}} Pick two rollouts of one prompt */

/** The pick of a prompt after a press on one of its completions: a second press takes it back. @returns {Pick} */
export function press(pick, side, row) {
  const other = side === "better" ? "worse" : "better";
  if (pick[side]?.id === row.id) return { [other]: pick[other] };
  return { [side]: row, [other]: pick[other]?.id === row.id ? undefined : pick[other] };
}

export const isPair = (pick) => Boolean(pick.better && pick.worse && pick.better.completion !== pick.worse.completion);

const answer = (row) => [{ role: "assistant", content: row.completion }];

/** Rows of a preference dataset, one a line. @param {Pick[]} pairs */
export const linesOf = (pairs) =>
  pairs.map(({ better, worse }) => JSON.stringify({ input: { messages: better.prompt }, preferred_output: answer(better), non_preferred_output: answer(worse) }) + "\n").join("");
