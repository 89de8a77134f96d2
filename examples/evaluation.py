"""How well models answer word problems that no job was trained on, asked through the plain `openai` client.

OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=fk_… python -m examples.evaluation starter ft:…
"""

import argparse
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from openai import OpenAI

from examples import running
from examples.word_problems import Problem, problems

REASONED = re.compile(r"<think>.+?</think>\s*<answer>.+?</answer>", re.DOTALL)
ANSWER = re.compile(r"<answer>\s*(-?\d+)\s*</answer>")
AT_ONCE = 32  # requests in flight: the engine decodes those of one model together


@dataclass(frozen=True)
class Score:
    """Shares between 0 and 1."""

    accuracy: float
    reasoned: float  # <think>…</think><answer>…</answer> and nothing else

    def __str__(self) -> str:
        return f"right {self.accuracy:6.1%}  reasoned {self.reasoned:6.1%}"


def right(problem: Problem, reply: str) -> bool:
    found = ANSWER.search(reply)
    return found is not None and int(found[1]) == problem.answer


def ask(client: OpenAI, model: str, question: str) -> str:
    """A greedy answer."""
    reply = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": question}], temperature=0, max_completion_tokens=96
    )
    return reply.choices[0].message.content or ""


def evaluate(client: OpenAI, model: str, exam: Sequence[Problem], advance: Callable[[], None] = lambda: None) -> Score:
    """Asks every problem once; `advance` is called after each answer."""

    def one(problem: Problem) -> tuple[bool, bool]:
        reply = ask(client, model, problem.question)
        advance()
        return right(problem, reply), REASONED.fullmatch(reply.strip()) is not None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(one, exam))
    return Score(
        accuracy=sum(correct for correct, _ in results) / len(results),
        reasoned=sum(reasoned for _, reasoned in results) / len(results),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--seed", type=int, default=2)
    options = parser.parse_args()
    client = running.connect()
    exam = list(islice(problems("held_out", options.seed), options.problems))
    for model in options.models:
        print(f"{evaluate(client, model, exam)}  {model}", flush=True)


if __name__ == "__main__":
    main()
