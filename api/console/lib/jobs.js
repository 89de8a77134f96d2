/** What pages say about a job. */
import { duration } from "./format.js";

export const METHODS = {
  supervised: "SFT",
  dpo: "DPO",
  rlhf: "RLHF",
  reward_model: "Reward model",
  reinforcement: "GRPO",
  grpo: "GRPO",
};

export const ENDED = ["succeeded", "failed", "cancelled"];
export const RESUMABLE = ["worker_lost", "disk_full", "storage_refused"];

/** What a phase of the step that runs is called. */
const PHASES = {
  starting: "Loading the model and the data",
  evaluating: "Comparing the base model with the tuned one",
  generating: "Writing completions",
  scoring: "Scoring completions",
  training: "Training",
};

export const hasEnded = (job) => ENDED.includes(job.status);
export const writesRollouts = (job) => ["reinforcement", "rlhf"].includes(job.method.type);
export const methodOf = (job) => METHODS[job.method.type] ?? job.method.type;

/** A name that people recognise: the suffix, or the end of the id. */
export const nameOf = (job) => job.user_provided_suffix || job.id.replace("ftjob-", "").slice(0, 8);

export const settingsOf = (job) => job.method[job.method.type] ?? {};

/** How long the job took so far, queueing included. */
export const ageOf = (job) => duration((job.finished_at ?? Date.now() / 1000) - job.created_at);

/** One sentence about where the job is. @param {{step?: number, total?: number}} [reached] */
export function phaseOf(job, reached = {}) {
  if (job.status === "queued") return job.waiting?.message ?? "The job is in the queue.";
  if (job.status === "paused") return "Paused. Resume it to continue from its last checkpoint.";
  if (job.status === "succeeded") return `Finished in ${ageOf(job)}, waiting included.`;
  if (job.status === "cancelled") return "Cancelled.";
  if (job.status === "failed") return "Failed.";
  if (job.pause_requested_at) return "Pausing at the next checkpoint.";
  const { progress } = job;
  const known = reached.step && progress?.phase === "starting" ? null : PHASES[progress?.phase]; // the job says it a little later than its steps
  const phase = known ?? (reached.step ? (reached.step >= reached.total ? PHASES.evaluating : PHASES.training) : PHASES.starting);
  const part = progress?.total ? ` (${progress.done} of ${progress.total}${progress.unit ? ` ${progress.unit}` : ""})` : "";
  return `${phase}${part}.`;
}

/** "About 4 min left.", or nothing while nobody knows. */
export function etaOf(job) {
  if (job.status !== "running" || !job.estimated_finish) return "";
  const left = job.estimated_finish - Date.now() / 1000;
  return left > 0 ? `About ${duration(left)} left.` : "Almost done.";
}

/** What a person can do about a failed job. */
export const remedyOf = (job) =>
  RESUMABLE.includes(job.error?.code)
    ? "Resume it: it continues from its last checkpoint."
    : "Open it to see what happened, then start a corrected job.";
