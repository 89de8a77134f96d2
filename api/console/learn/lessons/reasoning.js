import { percent } from "../../lib/format.js";
import { Picture } from "../pictures/reasoning.js";
import { leap, went } from "./marks.js";

export const reasoning = {
  id: "reasoning",
  method: "supervised",
  name: "SFT with reasoning",
  title: "Show it the way to the answer",
  lead: "The same method, but the completions show their steps before they answer.",
  Picture,
  caption: "A model writes one token at a time and can only look at what is written. Steps that are written down are steps it can use.",
  words: `In the first lesson the model saw right answers and no way to find them. The method stays the same now, and the data changes: each completion first shows its **reasoning**, between \`<think>\` and \`</think>\`, and only then the answer.

Why should that help? A model writes its tokens one by one, and each of them takes the same small amount of computing. To blurt the answer to a problem with two steps, it would have to do both within one token. If it writes the first step down, it can read the result and needs only one more easy step.

Large models that "think" before they answer were taught with this idea. Our starter has seen such steps before, so this training does not teach it arithmetic. It teaches it to use what it can already do.`,
  data: {
    file: "reasoned",
    title: "The data: prompt → reasoning and answer",
    words: "The same kind of questions. This time the completion shows how the answer is found.",
    columns: [["Prompt", (row) => row.prompt], ["Completion", (row) => row.completion, "code"]],
  },
  guess: {
    question: "800 rows with reasoning, seen twice. How many of its answers to new questions will be right?",
    options: ["About as many as before, about a quarter", "About half", "Nearly all"],
    best: ({ tuned }) => (tuned.right > 0.75 ? 2 : tuned.right > 0.38 ? 1 : 0),
    because: ({ base, tuned }) => `Its right answers ${went(base.right, tuned.right)}, and it reasons in ${percent(tuned.reasoned)} of its answers.`,
  },
  job: {
    training: "reasoned",
    validation: "reasoned_held_out",
    method: { type: "supervised", supervised: { hyperparameters: { n_epochs: 2, batch_size: 16 } } },
  },
  run: "The job takes 100 steps of 16 rows. The exam afterwards asks questions that are in no training file.",
  curves: ["Loss", "Token accuracy"],
  read: { Loss: "It begins low: the starter knows such steps and is not surprised by them. What it learns here is to begin with them." },
  lesson: (result) =>
    leap(result) === "none"
      ? "This run did not make the difference that it usually makes. Open the job's page and look at its curves and warnings, or start over."
      : "The questions, the method and the model are those of lesson 1. Only the completions changed. What your data shows decides what is learned, more than any setting does.",
  own: "If your task takes more than one step, let the completions show the steps. Write them as you would explain them to a colleague, and check them: a model that learns wrong steps gives wrong answers with confidence.",
  choose: {
    bring: "Prompts with completions that show their steps",
    when: "The task needs several steps, and you have a few hundred worked examples or more",
    mind: "Answers get longer, so each one costs more; wrong steps are learned as well",
  },
};
