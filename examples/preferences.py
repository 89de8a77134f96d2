"""Word problems with responses to compare: pairs for DPO, rankings for a reward model.

    python -m examples.preferences --rows 800 > pairs.jsonl
    python -m examples.preferences --rows 400 --shape ranking > rankings.jsonl
    python -m examples.preferences --rows 100 --split held_out > held_out.jsonl

A right answer after its reasoning is better than the same answer blurted out; in rankings, what does not keep to
`<answer>…</answer>` comes last and is tied. The two splits never share a question.
"""

import argparse
import json
import random
from collections.abc import Iterator
from itertools import islice
from typing import Any, Literal

from examples.word_problems import Problem, Split, problems

Shape = Literal["pair", "ranking"]


def pair(problem: Problem) -> dict[str, Any]:
    """In TRL's shape."""
    return {
        "prompt": problem.question,
        "chosen": problem.row("reasoned")["completion"],
        "rejected": problem.row("answer")["completion"],
    }


def ranking(problem: Problem, rng: random.Random) -> dict[str, Any]:
    """Four responses in any order, and their numbers from the best to the worst."""
    ranked = [
        problem.row("reasoned")["completion"],
        problem.row("answer")["completion"],
        f"It is {problem.answer}, I think.",
        rng.choice(["I do not know.", "That is hard to say.", "No idea!"]),
    ]
    places = rng.sample(range(4), 4)  # where each of them stands
    responses = [ranked[places.index(place)] for place in range(4)]
    best, second, *worst = places
    return {"prompt": problem.question, "responses": responses, "ranking": [best, second, worst]}


def rows(shape: Shape, split: Split, seed: int) -> Iterator[dict[str, Any]]:
    """Without end."""
    rng = random.Random(seed)
    for problem in problems(split, seed):
        yield pair(problem) if shape == "pair" else ranking(problem, rng)


def dataset(shape: Shape, split: Split, count: int, seed: int = 1) -> bytes:
    """A JSONL file."""
    return "".join(json.dumps(row) + "\n" for row in islice(rows(shape, split, seed), count)).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=800)
    parser.add_argument("--shape", choices=["pair", "ranking"], default="pair")
    parser.add_argument("--split", choices=["train", "held_out"], default="train")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(dataset(options.shape, options.split, options.rows, options.seed).decode(), end="")


if __name__ == "__main__":
    main()
