/** Rewards as forms edit them, and as the API takes them. An entry is {name, weight, grader}. */
import { get } from "./api.js";

export const FUNCTIONS = "/v1/reward_functions";
export const START = `def reward(prompt, completion, example):
    """Higher is better. What it prints is shown beside its score."""
    return 1.0 if "<answer>" in completion else 0.0
`;

/** A function that comes with Fettle. @param {string} name */
export const builtIn = (name) => ({ name, weight: 1, grader: { type: "function", name, function: name } });

/** Somebody's own Python. version: of the saved function whose source it is */
export const python = (name, source = START, version = null) => ({ name, weight: 1, grader: { type: "python", name, source, ...(version === null ? {} : { version }) } });

/** Written in this project, and not part of Fettle. */
export const isOwn = (each) => Boolean(each.id);

/** Functions that need no parameters: others are set up in code. */
export const isSimple = (each) => isOwn(each) || (!each.parameters.required?.length && !each.sandboxed);

export const sourceOf = async (id, signal) => get(`${FUNCTIONS}/${encodeURIComponent(id)}`, {}, signal);

/** A function as an entry. @param {{id?: string, name?: string}} each one of the project's own by its id, or a built-in one by its name */
export async function entryOf(each) {
  if (!isOwn(each)) return builtIn(each.name);
  const { name, source, version } = await sourceOf(each.id);
  return python(name, source, version);
}

/** A name that no entry has yet. */
export function freeName(entries, name) {
  const taken = new Set(entries.map((entry) => entry.name));
  for (let number = 1; ; number++) {
    const wanted = number === 1 ? name : `${name}_${number}`;
    if (!taken.has(wanted)) return wanted;
  }
}

/** As a request has it: as short as it can be. */
export function asRequested({ name, weight, grader }) {
  const weighed = weight === 1 ? {} : { weight };
  if (grader.version) return { name, version: grader.version, ...weighed };
  if (grader.type === "python") return { name, source: grader.source, ...weighed };
  if (grader.type === "function" && grader.function === name && !Object.keys(grader.parameters ?? {}).length) return weight === 1 ? name : { name, weight };
  return { ...grader, weight };
}
