/** Rollouts of one step, in the order in which people read them. */
import { figure, many } from "./format.js";

/** A reward that is not known comes last. */
const rank = (row) => row.reward ?? -Infinity;

/** Each prompt's completions, best to worst. @param {any[]} rows of one step @returns {any[][]} */
export function groupsOf(rows) {
  const groups = new Map();
  for (const row of rows) groups.set(row.group, [...(groups.get(row.group) ?? []), row]);
  return [...groups.values()].map((group) => group.sort((one, other) => (rank(one) === rank(other) ? 0 : rank(other) - rank(one))));
}

/** "8 prompts, 64 completions, mean reward 0.4." */
export function stepSummary(rows) {
  const known = rows.filter((row) => row.reward !== null);
  const mean = known.length ? `mean reward ${figure(known.reduce((sum, row) => sum + row.reward, 0) / known.length)}` : "no rewards";
  const failed = rows.filter((row) => Object.keys(row.errors ?? {}).length).length;
  return `${many(new Set(rows.map((row) => row.group)).size, "prompt")}, ${many(rows.length, "completion")}, ${mean}${failed ? `, ${many(failed, "completion")} with an error of a grader` : ""}.`;
}
