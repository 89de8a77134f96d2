import { percent } from "../../lib/format.js";
import { Picture } from "../pictures/grpo.js";
import { leap, signed, went } from "./marks.js";

export const grpo = {
  id: "grpo",
  method: "reinforcement",
  name: "GRPO",
  title: "Let it try, and check the result",
  lead: "Ten questions and two small programs that score an answer. No answer is shown at all.",
  Picture,
  caption: "One question, a group of answers. The group's own mean is the bar that an answer has to clear.",
  words: `For some tasks nobody has to show or rank anything, because a program can check the answer: a sum, a unit test, a format. Such a program is a **reward function**. It reads an answer and returns a number.

**Group relative policy optimization**, or **GRPO**, learns from these numbers. The model answers the same question several times: here eight times. The answers of this **group** are compared with each other. What scored above the group's mean becomes more likely, what scored below it less likely. If all eight score the same, nothing is learned from them.

Two reward functions are used here. \`answer_correct\` gives 1 if the number is right. \`think_format\` gives 0.2 if the answer shows its thinking first. Neither of them shows how to think.`,
  data: {
    file: "ten_questions",
    title: "The data: ten questions",
    words: "That is all of it. The answer is only for the reward function: the model never sees it.",
    columns: [["Prompt", (row) => row.prompt], ["Answer, for the reward function", (row) => row.answer, "code"]],
  },
  guess: {
    question: "Ten questions, each tried again and again. How will the model do on questions that it has never tried?",
    options: ["It knows the ten by heart, and new ones are as bad as before", "Somewhat better", "Far better"],
    best: (result) => ({ none: 0, some: 1, leap: 2 })[leap(result)],
    because: ({ base, tuned }) => `On new questions, its right answers ${went(base.right, tuned.right)}, and it reasons in ${percent(tuned.reasoned)} of its answers.`,
  },
  job: {
    training: "ten_questions",
    validation: "questions_held_out",
    method: {
      type: "reinforcement",
      reinforcement: {
        reward_functions: ["answer_correct", { name: "think_format", weight: 0.2 }],
        hyperparameters: { max_completion_tokens: 40, n_epochs: 30, eval_interval: 10, checkpoint_interval: 30 },
      },
    },
  },
  run: "The job goes over the ten questions 30 times, with 80 answers in each of its 30 steps. Nothing is known beforehand but the questions: watch the reward, to see when it finds out what pays.",
  curves: ["Reward", "Completion length"],
  read: {
    Reward: "The mean score of all answers of a step, at most 1.2. It stays flat until the model tries a few answers with reasoning and finds that they pay.",
    "Completion length": "Tokens in an answer. It grows because reasoning takes room, and then stays: nothing pays for more.",
  },
  numbers: (evaluation) => ({ base_reward: evaluation.base?.reward_mean, tuned_reward: evaluation.tuned?.reward_mean }),
  more: ({ base_reward: base, tuned_reward: tuned }) => [["Reward on held-out questions", base, tuned, signed, true]],
  lesson: (result) =>
    leap(result) === "none"
      ? "This run did not find the better way: with chance in every answer, that happens. Start over, or give it more questions."
      : "It could only find what it was able to write at times already. Reinforcement makes a rare good answer a usual one; where a model never gets it right, there is nothing to reward, and a short SFT has to come first.",
  seen: ({ base_reward: base, tuned_reward: tuned }) => `Held-out reward ${signed(base)} → ${signed(tuned)}`,
  own: "Bring prompts, and choose reward functions that fit: New job lists those that come with Fettle. Under Rewards you can write your own in Python, and try it on a few answers before you train. Do try it: a function that can be fooled will be.",
  choose: {
    bring: "Prompts, and a program that scores an answer; ten are enough to begin",
    when: "A program can check the answer, and the model gets it right at least now and then",
    mind: "It learns what the function pays for, and that may not be what you meant",
  },
};
