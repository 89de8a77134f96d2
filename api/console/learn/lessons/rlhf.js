import { percent } from "../../lib/format.js";
import { Picture } from "../pictures/rlhf.js";
import { leap, signed, went } from "./marks.js";

export const rlhf = {
  id: "rlhf",
  method: "rlhf",
  name: "RLHF",
  title: "Rank its answers",
  lead: "You only say which answers are better. A second model learns your taste and trains the first.",
  Picture,
  caption: "Generate, rank, reward model, practise. The fourth step repeats until the answers score well.",
  words: `Often nobody can write the perfect answer down, but everybody can say which of several answers is better. **Reinforcement learning from human feedback**, or **RLHF**, learns from that. It made the first chat assistants polite and useful. It has four steps.

1. **Generate.** The model answers each prompt several times.
2. **Rank.** People order the answers from best to worst, without knowing who wrote them.
3. **Reward model.** A second model learns from the rankings to give any answer a **score**, such that what people like scores higher.
4. **Practise.** The first model, here called the **policy**, writes answers, the reward model scores them, and what scored well becomes more likely. The usual recipe for this step is called **PPO** (proximal policy optimization): it moves in small, safe steps.

There is a catch. A reward model is only a picture of people's taste, and a policy that chases its score too far finds the picture's flaws. So every distance from the starting model has a price. The distance is called **KL**.`,
  data: {
    file: "rankings",
    title: "The data: answers in an order",
    words: "Your own rankings come first, below. To them the lesson adds 310 rankings that a program made with one fixed taste: right and with its steps is best, then right, then wrong.",
    columns: [
      ["Prompt", (row) => row.prompt],
      ["From best to worst", (row) => row.ranking.map((place, number) => `${number + 1}. ${row.responses[place]}`).join("\n"), "code"],
    ],
  },
  guess: {
    question: "No ranking tells the model what to write. Will it start to show its steps by itself?",
    options: ["No, it only gets better at guessing numbers", "Sometimes", "Yes, nearly always"],
    best: ({ tuned }) => (tuned.reasoned > 0.8 ? 2 : tuned.reasoned > 0.1 ? 1 : 0),
    because: ({ base, tuned }) => `The share of its answers that show their steps ${went(base.reasoned, tuned.reasoned)}. Right answers ${went(base.right, tuned.right)}.`,
  },
  people: {
    mode: "rank",
    n: 3,
    asked: "asked",
    others: "rankings",
    name: "Lesson 3: rank the answers",
    title: "Generate and rank",
    words: "The starter answers six questions, three times each, with some chance in its choice of words. Put the best answer first. Right beats wrong; if two are alike, they tie. Six items take about a minute, and one is enough to go on.",
    instructions: "Put the best answer first. **Right beats wrong.** Of two right answers, the one that shows how it was found is better. Answers that are equally good or bad may tie.",
    action: "Rank the answers",
  },
  job: {
    validation: "rankings_held_out",
    method: {
      type: "rlhf",
      rlhf: {
        algorithm: "ppo",
        hyperparameters: { max_completion_tokens: 40, n_epochs: 3, batch_size: 32 },
        reward_model_hyperparameters: { n_epochs: 1, batch_size: 16 },
      },
    },
  },
  run: "Your votes and the 310 others become one file. The job first trains the reward model on it, for about 60 steps, and then lets the policy practise for about 30. This is the longest lesson: about two minutes.",
  curves: ["Preference accuracy", "Reward", "KL to the reference"],
  read: {
    "Preference accuracy": "The reward model's part: in how many pairs it gives the better answer the higher score. Chance is 50%.",
    Reward: "The first 60 steps, with scores around 0, belong to the reward model. Then come the scores of what the policy writes, where 0 is the starter's average. Watch for the moment when it finds that steps score higher.",
    "KL to the reference": "How far the policy has gone from where it began. It should grow slowly: distance has its price.",
  },
  numbers: (evaluation) => ({
    pairs: evaluation.reward_model?.tuned?.pairwise_accuracy,
    base_reward: evaluation.base?.reward_mean,
    tuned_reward: evaluation.tuned?.reward_mean,
  }),
  more: ({ base_reward: base, tuned_reward: tuned }) => [["Reward on held-out prompts", base, tuned, signed, true]],
  lesson: (result) =>
    `The reward model agrees with the held-out rankings in ${percent(result.numbers.pairs)} of all pairs. Chance would be 50%. ${
      leap(result) === "none"
        ? "The policy did not get more answers right this time: a reward that rises is not yet a better model, so look at the answers, and not only at the curve."
        : "Nobody wrote a single answer for this model. It found out what is liked by trying."
    } Your few rankings are a small part of the file. With about three hundred of your own, the taste would be all yours.`,
  seen: ({ pairs }) => `The reward model agrees with ${percent(pairs)} of held-out pairs`,
  own: "Make a comparison of your own prompts, invite people by a link, and train from their rankings. Plan for some hundred rankings. A job refuses fewer than ten.",
  choose: {
    bring: "Rankings of several answers to each prompt",
    when: "Good is a matter of taste, people can rank, and the model should improve on prompts that nobody ranked",
    mind: "Two models to train, the most memory, and a score that can be fooled: keep an eye on KL",
  },
};
