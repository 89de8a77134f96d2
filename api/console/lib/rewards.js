/** Rewards as forms edit them, and as the API takes them. An entry is {name, weight, grader}. */
import { post } from "./api.js";

export const START = `def reward(prompt, completion, example):
    """A number: higher is better. What it prints is shown beside its score."""
    return 1.0 if "<answer>" in completion else 0.0
`;

/** A function that comes with Fettle. @param {string} name */
export const builtIn = (name) => ({ name, weight: 1, grader: { type: "function", name, function: name } });

/** Somebody's own Python. */
export const python = (name, source = START) => ({ name, weight: 1, grader: { type: "python", name, source } });

/** Functions that need no parameters of their own: others are set up in code. */
export const isSimple = (each) => !each.parameters.required?.length && !each.sandboxed;

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
  if (grader.type === "python") return { name, source: grader.source, ...(weight === 1 ? {} : { weight }) };
  if (grader.type === "function" && grader.function === name && !Object.keys(grader.parameters ?? {}).length) return weight === 1 ? name : { name, weight };
  return { ...grader, weight };
}

/**
 * What a grader says to a sample.
 *
 * @param {{completion: string, item: Record<string, any>}} sample
 * @returns {Promise<{score: number | null, printed: string, seconds: number, error: string | null}>}
 */
export async function tryOn(grader, { completion, item }, signal) {
  const { reward, metadata } = await post("/v1/fine_tuning/alpha/graders/run", { grader, model_sample: completion, item }, signal);
  const error = Object.entries(metadata.errors).find(([name, value]) => typeof value === "string" && name.endsWith("_details"))?.[1] ?? metadata.errors.python_grader_server_error_type;
  return { score: reward, printed: metadata.printed, seconds: metadata.execution_time, error: error ?? (reward === null ? "The grader gave no score." : null) };
}
