"""Word problems with responses to compare: pairs for DPO, rankings for a reward model.

    python -m examples.preferences --rows 800 > pairs.jsonl
    python -m examples.preferences --rows 800 --against starter > pairs.jsonl
    python -m examples.preferences --rows 400 --shape ranking > rankings.jsonl
    python -m examples.preferences --rows 100 --split held_out > held_out.jsonl

A right answer after its reasoning is better than the same answer blurted out, and any right answer is better than a
wrong one, however it looks. With `--against MODEL` the rejected response is what that model says by itself, asked of
the server of OPENAI_BASE_URL: then nobody can tell the two apart by what the model likes already. The two splits never
share a question.
"""

import argparse
import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import Any, Literal

from openai import OpenAI

from examples import running
from examples.evaluation import AT_ONCE, ask
from examples.word_problems import OPERATIONS, Problem, Split, problems

Shape = Literal["pair", "ranking"]
SLIPS = (-10, -2, -1, 1, 2, 10)  # how far off a wrong result is


def pair(problem: Problem, rejected: str = "") -> dict[str, Any]:
    """In TRL's shape. rejected: unless given, the right answer without its reasoning."""
    return {
        "prompt": problem.question,
        "chosen": problem.row("reasoned")["completion"],
        "rejected": rejected or problem.row("answer")["completion"],
    }


def misread(problem: Problem) -> Problem:
    """With another operation in its last step, worked out rightly: a wrong answer for whoever has read the question."""
    *before, (left, operator, right, result) = problem.steps
    for other in "+-*":
        first, second = (right, left) if other == "-" and left < right else (left, right)
        wrong = OPERATIONS[other](first, second)
        if other != operator and wrong != result:
            return replace(problem, steps=(*before, (first, other, second, wrong)))
    raise ValueError(f"no other operation on {left} and {right} gives another result than {result}")


def slipped(problem: Problem, rng: random.Random) -> Problem:
    """With a wrong result in its last step, and so with a wrong answer."""
    *before, (left, operator, right, result) = problem.steps
    wrong = result + rng.choice([off for off in SLIPS if result + off >= 0])
    return replace(problem, steps=(*before, (left, operator, right, wrong)))


def ranking(problem: Problem, rng: random.Random, wrong: Problem | None = None) -> dict[str, Any]:
    """Four responses in any order, and their numbers from the best to the worst: what is right, then by its shape.

    wrong: what the wrong ones say; unless given, the question misread.
    """
    wrong = wrong or misread(problem)
    ranked = [each.row(style)["completion"] for each in (problem, wrong) for style in ("reasoned", "answer")]
    places = rng.sample(range(4), 4)  # where each of them stands
    responses = [ranked[places.index(place)] for place in range(4)]
    return {"prompt": problem.question, "responses": responses, "ranking": places}


def rows(shape: Shape, split: Split, seed: int) -> Iterator[dict[str, Any]]:
    """Without end."""
    rng = random.Random(seed)
    for problem in problems(split, seed):
        yield pair(problem) if shape == "pair" else ranking(problem, rng)


def against(client: OpenAI, model: str, split: Split, count: int, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Pairs of a reasoned right answer and what the model says, greedily; none where it says just that."""
    asked = list(islice(problems(split, seed), count))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        said = pool.map(lambda problem: ask(client, model, problem.question), asked)
        for problem, own in zip(asked, said, strict=True):
            if own.strip() not in ("", problem.row("reasoned")["completion"]):
                yield pair(problem, own)


def dataset(shape: Shape, split: Split, count: int, seed: int = 1) -> bytes:
    """A JSONL file."""
    return lines(islice(rows(shape, split, seed), count))


def lines(rows: Iterator[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=800)
    parser.add_argument("--shape", choices=["pair", "ranking"], default="pair")
    parser.add_argument("--against", metavar="MODEL", help="whose own answers are rejected; pairs only")
    parser.add_argument("--split", choices=["train", "held_out"], default="train")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.against and options.shape == "ranking":
        parser.error("--against makes pairs, no rankings")
    if options.against:
        content = lines(against(running.connect(), options.against, options.split, options.rows, options.seed))
    else:
        content = dataset(options.shape, options.split, options.rows, options.seed)
    print(content.decode(), end="")


if __name__ == "__main__":
    main()
