/** What the New job page asks about each method, and why the default is what it is. */
import { asRequested } from "./rewards.js";

/** @typedef {{name: string, label: string, why: string, min?: number, max?: number, step?: number, choices?: string[]}} Setting */

/** Settings of every method. `auto` is what an empty field stands for. @type {Setting[]} */
const SHARED = [
  { name: "n_epochs", label: "Epochs", why: "auto: as many passes as make enough steps for this many rows.", min: 1, max: 50, step: 1 },
  { name: "batch_size", label: "Batch size", why: "auto: from the number of rows, so that steps are not noise.", min: 1, max: 256, step: 1 },
  { name: "learning_rate", label: "Learning rate", why: "auto: what LoRA needs on a base model of this size.", min: 0, max: 1, step: "any" },
];
const SAMPLED = [
  { name: "group_size", label: "Completions for each prompt", why: "auto: what a completion is compared with.", min: 1, max: 64, step: 1 },
  { name: "max_completion_tokens", label: "Longest completion, in tokens", why: "auto: from the base model's length. A limit that is too low cuts answers off.", min: 1, max: 32768, step: 1 },
];

/** @type {Record<string, {title: string, words: string, data: string, settings: Setting[]}>} */
export const METHODS = {
  supervised: {
    title: "SFT",
    words: "Show the model what to answer.",
    data: "Prompts with completions, or conversations.",
    settings: SHARED,
  },
  reinforcement: {
    title: "GRPO",
    words: "Let it try, and reward what is right.",
    data: "Prompts, and a function that scores an answer. Ten prompts are enough to begin with.",
    settings: [...SHARED, ...SAMPLED],
  },
  dpo: {
    title: "DPO",
    words: "Prefer one answer to another.",
    data: "Pairs of a better and a worse answer.",
    settings: [...SHARED, { name: "beta", label: "Beta", why: "auto: 0.1. Higher keeps the model closer to where it started.", min: 0, max: 2, step: "any" }],
  },
  rlhf: {
    title: "RLHF",
    words: "Train a reward model on rankings, then train against it.",
    data: "Rankings or pairs that people made.",
    settings: [...SHARED, ...SAMPLED, { name: "kl_coefficient", label: "KL coefficient", why: "auto: 0.05 a nat. Higher keeps the model closer to where it started.", min: 0, max: 10, step: "any" }],
  },
  reward_model: {
    title: "Reward model",
    words: "Learn to score answers as people do.",
    data: "Rankings or pairs that people made.",
    settings: SHARED,
  },
};

/** The body of POST /v1/fine_tuning/jobs for what the form holds. */
export function bodyOf(form) {
  const hyperparameters = {};
  for (const { name } of METHODS[form.method].settings) {
    const value = form.settings[name];
    if (value !== undefined && value !== "") hyperparameters[name] = Number(value);
  }
  const own = { hyperparameters };
  if (form.method === "reinforcement") own.reward_functions = form.rewards.map(asRequested);
  const body = { model: form.model, training_file: form.training, method: { type: form.method, [form.method]: own } };
  if (form.validation) body.validation_file = form.validation;
  if (form.suffix.trim()) body.suffix = form.suffix.trim();
  return body;
}

/** JSON as a Python literal. */
const python = (value) =>
  JSON.stringify(value, null, 4).replaceAll(/(?<=[:[,]\s*)(true|false|null)\b/g, (word) => ({ true: "True", false: "False", null: "None" })[word]);

export function sdkCode(body, origin) {
  const lines = Object.entries(body).map(([name, value]) => `    ${name}=${python(value).replaceAll("\n", "\n    ")},`);
  return `from openai import OpenAI

client = OpenAI(base_url="${origin}/v1")  # reads OPENAI_API_KEY
job = client.fine_tuning.jobs.create(
${lines.join("\n")}
)
print(job.id)`;
}

export const curlCode = (body, origin) => `curl ${origin}/v1/fine_tuning/jobs \\
  -H "Authorization: Bearer $OPENAI_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '${JSON.stringify(body, null, 2).replaceAll("'", "'\\''")}'`;
