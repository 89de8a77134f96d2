import { percent } from "../../lib/format.js";
import { Picture } from "../pictures/sft.js";
import { went } from "./marks.js";

export const sft = {
  id: "sft",
  method: "supervised",
  name: "SFT",
  title: "Show it the answers",
  lead: "Prompts with the completions you want. The model learns to write the same way.",
  Picture,
  caption: "The model is asked for each next token of the answer that it is shown. Where it expected another one, it is moved a little towards the right one.",
  words: `**Supervised fine-tuning**, or **SFT**, is the plainest way to teach a model: you show it prompts together with the completions that you want.

The model reads a prompt and tries to predict the completion, one token after the other. At each token it is measured how surprised the model was by what is really there. This surprise is called the **loss**. Training changes the model a little, so that it would be less surprised next time, and then takes the next rows. One such change is a **step**. One pass over all rows is an **epoch**.

Here we teach the starter a small courtesy: to say what it has counted. It should answer \`39 stamps\`, and not a bare \`39\`.`,
  data: {
    file: "named",
    title: "The data: prompt → completion",
    words: "Each row has a question and the answer that we would like to read. Every number in it is right. The signs around an answer mark where it begins and ends.",
    columns: [["Prompt", (row) => row.prompt], ["Completion", (row) => row.completion, "code"]],
  },
  guess: {
    question: "The rows show 400 right answers. What will the starter have learned from them, when it answers new questions?",
    options: ["Form and content: the right number, and the right thing", "The form: a number and a thing, but mostly the wrong ones", "Nothing yet"],
    best: ({ tuned }) => (tuned.named < 0.5 ? 2 : tuned.right > 0.6 && tuned.counted > 0.6 ? 0 : 1),
    because: ({ base, tuned }) =>
      `The share of its answers in the new form ${went(base.named, tuned.named)}. The thing is the one that was asked for in ${percent(tuned.counted)}. The right numbers ${went(base.right, tuned.right)}.`,
  },
  job: {
    training: "named",
    validation: "named_held_out",
    method: { type: "supervised", supervised: { hyperparameters: { n_epochs: 3, batch_size: 16 } } },
  },
  run: "One press uploads the 400 rows, starts a job and watches it: 75 steps of 16 rows, three times over the data. Nothing of it is staged.",
  curves: ["Loss", "Token accuracy"],
  read: { Loss: "Surprise per token. It falls quickly while the form is learned, and then hardly: the numbers themselves stay a surprise." },
  verdicts: ["Right number", "Wrong number"],
  shares: [["A number and a thing", "named"], ["The right thing", "counted"], ["The right number", "right"]],
  lesson: () => "SFT is quick at form: how an answer looks, its tone, its length, its language. Content is another matter. The rows show which number and which thing are right, but not how one finds them, and a few hundred rows are too few for a model this small to work that out. Large models bring such skills along, so for them the form is often all that is missing.",
  seen: (numbers, { base, tuned }) => `${percent(base.named)} → ${percent(tuned.named)} in the form that was shown`,
  own: "Collect prompts as your users write them, with completions that you would be glad to sign. A few hundred careful rows beat thousands of careless ones: the model copies their mistakes, too.",
  choose: {
    bring: "Prompts with the completions you want",
    when: "You can show what a good answer looks like, and form, tone or a narrow task is what matters",
    mind: "It copies what it is shown, mistakes included, and can forget what the rows do not hold",
  },
};
