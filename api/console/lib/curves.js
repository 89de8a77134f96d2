/** A job's curves as the server sends them: thinned, and then continued step by step. */

export const POINTS = 800;

/** @typedef {Record<string, {step: number[], value: number[]}>} Series */

/** Adds what came after `series`; steps that a resumed run did again replace the old ones. */
export function continued(series, more) {
  const joined = { ...series };
  for (const [name, { step, value }] of Object.entries(more)) {
    if (step.length === 0) continue;
    const old = joined[name] ?? { step: [], value: [] };
    let keep = old.step.length;
    while (keep > 0 && old.step[keep - 1] >= step[0]) keep -= 1;
    joined[name] = { step: [...old.step.slice(0, keep), ...step], value: [...old.value.slice(0, keep), ...value] };
  }
  return joined;
}

/** The step that was reached. */
export function reachedIn(series) {
  const total = series?.total_steps;
  return total?.step.length ? { step: total.step.at(-1), total: total.value.at(-1) } : {};
}
