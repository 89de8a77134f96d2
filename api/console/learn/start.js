/** Starts a lesson's job: by the same requests that a program would send. */
import { post, send, upload } from "../lib/api.js";
import { pathOf } from "../lib/comparisons.js";
import { json } from "../lib/http.js";
import { fileOf, rowsIn, textOf } from "./rows.js";
import { progressOf, remember, retryKey } from "./store.js";

export const BASE = "starter";

/** The body of the job's request. */
export const bodyOf = (lesson, files) => ({
  model: BASE,
  ...files,
  method: lesson.job.method,
  suffix: `lesson-${lesson.id}`,
  seed: 1,
  metadata: { lesson: lesson.id },
});

const sent = async (name) => (await upload(await fileOf(name), () => {})).id;

async function create(path, lesson, files) {
  const headers = { "idempotency-key": retryKey(lesson.id) };
  return json(await send("POST", path, { body: bodyOf(lesson, files), headers }));
}

/** Uploads the lesson's two files and creates the job. @param {(words: string) => void} say */
export async function startFromFiles(lesson, say) {
  say("Uploading the data");
  const training_file = await sent(lesson.job.training);
  const validation_file = await sent(lesson.job.validation);
  say("Creating the job");
  remember(lesson.id, { job: (await create("/v1/fine_tuning/jobs", lesson, { training_file, validation_file })).id });
}

/** Adds the shipped votes to the learner's own, makes a dataset of both, and creates the job from it. */
export async function startFromVotes(lesson, say) {
  const { comparison } = progressOf(lesson.id);
  say("Adding the other votes");
  const form = new FormData();
  form.append("file", await fileOf(lesson.people.others));
  form.append("annotator", "Simulated votes");
  await send("POST", pathOf(comparison, "import"), { form }); // a second time adds nothing
  const validation_file = await sent(lesson.job.validation);
  say("Creating the job");
  remember(lesson.id, { job: (await create(pathOf(comparison, "train"), lesson, { validation_file })).id });
}

/** Lets the starter write what the learner votes on. */
export async function startComparison(lesson) {
  const { asked, n, mode, instructions, name } = lesson.people;
  const prompts = rowsIn(await textOf(asked)).map((row) => row.prompt);
  const sampling = { temperature: 1.5, max_completion_tokens: 40 }; // answers that are alike cannot be compared
  const made = await post("/v1/comparisons", { name, models: [BASE], prompts, n, mode, instructions, sampling });
  remember(lesson.id, { comparison: made.id });
}
