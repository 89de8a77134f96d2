/** The exam: the same held-out questions for every model, each asked once, without chance. */
import { post } from "../lib/api.js";
import { rowsOf } from "./rows.js";

const AT_ONCE = 8; // questions under way

const ANSWER = /<answer>\s*(-?\d+)/;
const REASONED = /^<think>.+?<\/think>\s*<answer>.+?<\/answer>$/s;
const NAMED = /^<answer>-?\d+ (\w+)<\/answer>$/; // with a thing
const COUNTED = /How many (\w+)/; // what a question asks for

/**
 * reasoned: the reply shows its steps first. named: it is a number and a thing. counted: and the thing is the one asked for.
 *
 * @param {{prompt: string, answer: string}} question
 */
export function mark(text, { prompt, answer }) {
  const thing = NAMED.exec(text.trim())?.[1];
  return {
    right: ANSWER.exec(text)?.[1] === answer,
    reasoned: REASONED.test(text.trim()),
    named: thing !== undefined,
    counted: thing !== undefined && thing === COUNTED.exec(prompt)?.[1],
  };
}

async function ask(model, prompt, signal) {
  const body = { model, messages: [{ role: "user", content: prompt }], temperature: 0, max_completion_tokens: 64 };
  return (await post("/v1/chat/completions", body, signal)).choices[0].message.content ?? "";
}

/**
 * Each mark as a share of the questions, and every reply.
 *
 * @param {(done: number, of: number) => void} advance
 */
export async function examine(model, advance, signal) {
  const questions = await rowsOf("exam");
  const replies = new Array(questions.length);
  let next = 0;
  let done = 0;
  async function work() {
    while (next < questions.length) {
      const place = next++;
      const { prompt, answer } = questions[place];
      replies[place] = { prompt, answer, text: await ask(model, prompt, signal) };
      advance(++done, questions.length);
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const marks = replies.map((reply) => mark(reply.text, reply));
  const share = (name) => marks.filter((each) => each[name]).length / marks.length;
  return { ...Object.fromEntries(Object.keys(marks[0]).map((name) => [name, share(name)])), questions: questions.length, replies };
}

/** Questions that show the difference best: where the two models' marks differ, then the others. */
export function telling(base, tuned, most) {
  const both = base.replies.map((reply, place) => ({ ...reply, base: reply.text, tuned: tuned.replies[place].text }));
  const change = (each) => Math.abs(Number(mark(each.tuned, each).right) - Number(mark(each.base, each).right));
  return both.sort((one, other) => change(other) - change(one)).slice(0, most);
}
