"""Arithmetic in several steps, for the reward functions `steps_correct` and `answer_correct`.

    python -m examples.arithmetic_steps --rows 800 > train.jsonl
    python -m examples.arithmetic_steps --rows 100 --split held_out > valid.jsonl

No row shows how to work it out: the rewards ask for `a op b = c` steps that hold, as many as there are, and for the
answer. The two splits share no expression: a checksum of it decides which split it belongs to.
"""

import argparse
import json
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from examples.word_problems import OPERATIONS

Split = Literal["train", "held_out"]
HELD_OUT_SHARE = 10  # one expression in ten
LARGEST = 500  # of the results on the way
FORM = (
    "Work it out between <think> and </think>, one step like '3 + 4 = 7' at a time, "
    "then give <answer>the number</answer>."
)

# What a job that trains on these rows would say
REWARDS: list[Any] = [
    "answer_correct",
    {"name": "steps_correct", "weight": 0.5, "parameters": {"partial": True, "minimum": 2}},
]


@dataclass(frozen=True)
class Calculation:
    """An expression with its steps as (left, operator, right, result), each going on from the one before."""

    steps: tuple[tuple[int, str, int, int], ...]

    @property
    def expression(self) -> str:
        text = str(self.steps[0][0])
        for index, (_, operator, right, _) in enumerate(self.steps):
            text = f"({text}) {operator} {right}" if index else f"{text} {operator} {right}"
        return text

    @property
    def reasoning(self) -> str:
        return "\n".join(f"{left} {operator} {right} = {result}" for left, operator, right, result in self.steps)

    @property
    def answer(self) -> int:
        return self.steps[-1][3]

    def row(self) -> dict[str, Any]:
        """A dataset row: a prompt, and the answer for whoever grades it."""
        return {"prompt": f"What is {self.expression}? {FORM}", "answer": str(self.answer)}


def draw(rng: random.Random) -> Calculation:
    """Two to four steps, whose results are neither negative nor large."""
    wanted = rng.randint(2, 4)
    steps: list[tuple[int, str, int, int]] = []
    left = rng.randint(2, 40)
    while len(steps) < wanted:
        operator = rng.choice(list(OPERATIONS))
        right = rng.randint(2, 9 if operator == "*" else 40)
        result = OPERATIONS[operator](left, right)
        if 0 <= result <= LARGEST:
            steps.append((left, operator, right, result))
            left = result
    return Calculation(tuple(steps))


def calculations(split: Split, seed: int) -> Iterator[Calculation]:
    """An endless stream of calculations of one split."""
    rng = random.Random(seed)
    while True:
        found = draw(rng)
        if (zlib.crc32(found.expression.encode()) % HELD_OUT_SHARE == 0) == (split == "held_out"):
            yield found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=800)
    parser.add_argument("--split", choices=["train", "held_out"], default="train")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    stream = calculations(options.split, options.seed)
    for _ in range(options.rows):
        print(json.dumps(next(stream).row()))


if __name__ == "__main__":
    main()
