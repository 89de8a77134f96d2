"""How well a model answers word problems, asked through the plain `openai` client."""

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from openai import OpenAI

from examples.word_problems import Problem

REASONED = re.compile(r"<think>.+?</think>\s*<answer>.+?</answer>", re.DOTALL)
ANSWER = re.compile(r"<answer>\s*(-?\d+)\s*</answer>")
AT_ONCE = 32  # requests in flight: the engine decodes those of one model together


@dataclass(frozen=True)
class Score:
    """Shares between 0 and 1."""

    accuracy: float
    reasoned: float  # <think>…</think><answer>…</answer> and nothing else


def right(problem: Problem, reply: str) -> bool:
    found = ANSWER.search(reply)
    return found is not None and int(found[1]) == problem.answer


def ask(client: OpenAI, model: str, question: str) -> str:
    """A greedy answer."""
    reply = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": question}], temperature=0, max_completion_tokens=96
    )
    return reply.choices[0].message.content or ""


def evaluate(
    client: OpenAI, model: str, problems: Sequence[Problem], advance: Callable[[], None] = lambda: None
) -> Score:
    """Asks every problem once; `advance` is called after each answer."""

    def one(problem: Problem) -> tuple[bool, bool]:
        reply = ask(client, model, problem.question)
        advance()
        return right(problem, reply), REASONED.fullmatch(reply.strip()) is not None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(one, problems))
    return Score(
        accuracy=sum(correct for correct, _ in results) / len(results),
        reasoned=sum(reasoned for _, reasoned in results) / len(results),
    )
