/** What pages say about a dataset. */
const SHAPES = {
  chat: "Conversations",
  sharegpt: "Conversations",
  prompt_completion: "Prompts and completions",
  alpaca: "Prompts and completions",
  preference: "Preferences",
  ranking: "Rankings",
  prompts: "Prompts",
};

export const shapeOf = (file) => SHAPES[file.validation?.shape] ?? file.validation?.shape ?? "–";
export const rowsOf = (file) => file.validation?.rows ?? null;
export const isDataset = (file) => file.purpose === "fine-tune";

/** Whether a method can train on a file of this shape. */
const TAKES = {
  supervised: ["chat", "sharegpt", "prompt_completion", "alpaca"],
  dpo: ["preference", "ranking"],
  reward_model: ["preference", "ranking"],
  rlhf: ["preference", "ranking"],
  reinforcement: ["prompts", "chat", "sharegpt", "prompt_completion", "alpaca"],
};

export const fits = (file, method) => file.status === "processed" && TAKES[method].includes(file.validation?.shape);
