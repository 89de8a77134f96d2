/** The lessons, in the order of the road. @type {any[]} */
import { dpo } from "./dpo.js";
import { grpo } from "./grpo.js";
import { reasoning } from "./reasoning.js";
import { rlhf } from "./rlhf.js";
import { sft } from "./sft.js";

export const LESSONS = [sft, reasoning, rlhf, dpo, grpo];
