import { percent } from "../../lib/format.js";
import { Picture } from "../pictures/dpo.js";
import { went } from "./marks.js";

export const dpo = {
  id: "dpo",
  method: "dpo",
  name: "DPO",
  title: "Pick the better one",
  lead: "Pairs of a better and a worse answer, learned directly, without a reward model.",
  Picture,
  caption: "Each pair pushes one answer up and the other one down, measured from the model's own starting point.",
  words: `RLHF needs a second model and a lot of practice. **Direct preference optimization**, or **DPO**, takes a shorter way. It generates two answers, a person picks the better one, and the model learns from these **pairs** directly.

For every pair, training makes the preferred answer more probable and the other one less probable, compared with the model as it was before. That earlier self is the **reference**. It keeps the model from running off, as the KL does in RLHF.

DPO is simple, stable and cheap, and it is good at style. It has a weak spot as well, and this lesson shows it: a preference between two given answers is not the same as a habit of writing the better one.`,
  data: {
    file: "pairs",
    title: "The data: two answers, one preferred",
    words: "A program made these pairs. The preferred answer is right and shows its steps. The other one is what the starter itself says to the question.",
    columns: [["Prompt", (row) => row.prompt], ["Preferred", (row) => row.chosen, "code"], ["Not preferred", (row) => row.rejected, "code"]],
  },
  guess: {
    question: "After training, the model will hold the preferred answer of new pairs to be the more probable one. What will it write when it is asked?",
    options: ["The kind of answer that it now prefers", "The same kind of answer as before"],
    best: ({ base, tuned }) => (tuned.reasoned - base.reasoned > 0.5 ? 0 : 1),
    because: ({ base, tuned, numbers }) => `It prefers the better answer in ${percent(numbers.tuned)} of held-out pairs, and before in ${percent(numbers.base)}. Yet the share of its own answers that show their steps ${went(base.reasoned, tuned.reasoned)}.`,
  },
  people: {
    mode: "pick",
    n: 2,
    asked: "asked",
    others: "pairs",
    name: "Lesson 4: pick the better answer",
    title: "Generate and pick",
    words: "The starter answers six questions twice each. Pick the better answer, or say that they tie or that both are bad. One pick is enough to go on.",
    instructions: "Pick the answer that is **right**. If both are right, pick the one that shows how it was found. If both are wrong, say so.",
    action: "Pick the better answers",
  },
  job: {
    validation: "pairs_held_out",
    method: { type: "dpo", dpo: { hyperparameters: { beta: 0.1, n_epochs: 2, batch_size: 16 } } },
  },
  run: "Your picks and the 320 other pairs become one file, and the job learns from it in about 40 steps.",
  curves: ["Preference accuracy", "Reward margin"],
  read: {
    "Preference accuracy": "In how many pairs the preferred answer has gained on the other one, compared with the reference. It gets to 100% within a few steps.",
    "Reward margin": "By how much it has gained. It goes on growing after the accuracy is full.",
  },
  numbers: (evaluation) => ({ base: evaluation.base?.preference_accuracy, tuned: evaluation.tuned?.preference_accuracy }),
  more: ({ base, tuned }) => [["Prefers the better answer of held-out pairs", base, tuned, percent]],
  lesson: (result) =>
    result.tuned.reasoned - result.base.reasoned > 0.5
      ? `This time the preference became a habit: it reasons in ${percent(result.tuned.reasoned)} of its answers. On the starter that is rare. Short trainings usually change what a model prefers long before they change what it says.`
      : `A preference learned is not yet a habit changed. The model held the better answer of held-out pairs to be the more probable one in ${percent(result.numbers.base)} of them before, and in ${percent(result.numbers.tuned)} after. But the very first token of an answer decides whether it blurts or reasons, and there the old way is still the most probable one. Look at the answers below, not only at the figure. The usual remedy is a short SFT first, and DPO after it.`,
  seen: ({ base, tuned }) => `${percent(base)} → ${percent(tuned)} of held-out pairs preferred rightly`,
  own: "Collect pairs where you already see answers side by side: an edited draft against the first one, a picked suggestion against the one passed over. Or make a comparison and pick.",
  choose: {
    bring: "Pairs of a better and a worse answer",
    when: "You want to steer style or choice, and have pairs, but no way to score an answer",
    mind: "It shifts preferences and teaches no new task; check what the model writes, not only what it prefers",
  },
};
