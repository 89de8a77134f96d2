/** The curves of a job: which metrics make one chart, and what good looks like. */
import { figure, percent } from "./format.js";

/**
 * @typedef {{title: string, metrics: string[], names?: string[], good: string, format?: (value: number) => string}} Chart
 * @type {Chart[]} in the order in which they are shown
 */
const CHARTS = [
  { title: "Reward", metrics: ["train_reward_mean", "valid_reward_mean"], good: "Rises, then levels off. A jump to the maximum often means that the model found a loophole." },
  { title: "Loss", metrics: ["train_loss", "valid_loss"], good: "Falls and levels off. Validation loss that rises while training loss falls is overfitting." },
  { title: "Token accuracy", metrics: ["train_mean_token_accuracy", "valid_mean_token_accuracy"], good: "Rises. 100% on training rows alone means that they are memorised.", format: percent },
  { title: "Preference accuracy", metrics: ["train_accuracy", "valid_accuracy", "train_rewards_accuracies", "valid_rewards_accuracies"], good: "Rises above 50%, which is chance. Held-out pairs matter more than training pairs.", format: percent },
  { title: "Reward margin", metrics: ["train_rewards_margins", "valid_rewards_margins", "train_margin", "valid_margin"], good: "Grows: the better answer gains on the other one." },
  { title: "KL to the reference", metrics: ["kl", "objective/kl"], good: "Grows slowly. A steep rise means that the model leaves what it knew." },
  { title: "Entropy", metrics: ["entropy", "train_entropy", "valid_entropy"], good: "Falls slowly. Near zero, all completions are alike and nothing more is learned." },
  { title: "Completion length", metrics: ["completion_length_mean", "valid_completion_length_mean"], good: "Steady. Growth without more reward is padding." },
  { title: "Completions cut off", metrics: ["completions_cut_off"], good: "Near zero. If not, raise max_completion_tokens.", format: percent },
  { title: "Groups without spread", metrics: ["zero_spread_groups"], good: "Low. A group whose completions all score alike teaches nothing.", format: percent },
  { title: "Gradient norm", metrics: ["grad_norm"], good: "Steady, without spikes." },
  { title: "Learning rate", metrics: ["learning_rate"], good: "Warms up, then decays as configured." },
  { title: "Tokens per second", metrics: ["tokens_per_second"], good: "Steady. A drop means that something else uses this machine." },
];
const NOT_SHOWN = /^(step|epoch|tokens|total_steps|.*_seconds|.*\/std|.*_std|.*_max|clip_fraction|grader_errors|.*unjudged)$/;
const REWARD = /^rewards\/(.+)\/mean$/;

/** The charts that a job's metrics fill. @param {string[]} names */
export function chartsOf(names) {
  const known = new Set(names);
  const charts = CHARTS.map((chart) => ({ ...chart, metrics: chart.metrics.filter((name) => known.has(name)) }));
  const rewards = names.filter((name) => REWARD.test(name)).map((name) => ({
    title: `Reward: ${REWARD.exec(name)[1]}`,
    metrics: [name, `valid_${name}`].filter((each) => known.has(each)),
    good: "This function's part of the reward, before its weight.",
  }));
  const loss = charts.find((chart) => chart.title === "Loss");
  if (known.has("train_reward_mean")) loss.good = "Says little where rewards teach: watch the reward instead.";
  const shown = [charts[0], ...rewards, ...charts.slice(1)].filter((chart) => chart.metrics.length > 0);
  const used = new Set(shown.flatMap((chart) => chart.metrics));
  const rest = names.filter((name) => !used.has(name) && !NOT_SHOWN.test(name) && !name.startsWith("valid_"));
  return [...shown, ...rest.map((name) => ({ title: words(name), metrics: [name], good: "" }))];
}

/** "rewards/chosen" → "Rewards chosen" */
export const words = (name) => {
  const plain = name.replaceAll(/[/_]/g, " ");
  return plain[0].toUpperCase() + plain.slice(1);
};

export const seriesName = (metric) => (metric.startsWith("valid_") ? "validation" : "training");
export const shownValue = (chart, value) => (chart.format ?? figure)(value);
