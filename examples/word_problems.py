"""Word problems with one or two arithmetic steps, in three shapes: the question alone, blurted answer, reasoned answer.

    python -m examples.word_problems --rows 800 --style reasoned > train.jsonl
    python -m examples.word_problems --rows 200 --style reasoned --split held_out > valid.jsonl

The two splits never share a question: a checksum of its text decides which split it belongs to. The bundled base
model was pretrained on the train split only.
"""

import argparse
import json
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "held_out"]
Style = Literal["question", "answer", "reasoned"]
HELD_OUT_SHARE = 10  # one question in ten

NAMES = ["Tom", "Ana", "Sam", "Mia", "Leo", "Eva", "Max", "Zoe", "Ben", "Ida", "Kai", "Lea", "Jon", "Amy", "Gus", "Fay"]
THINGS = ["apples", "books", "coins", "cards", "pens", "shells", "stamps", "cakes", "balls", "eggs", "cups", "keys"]

# A question and its steps; the second step takes the first one's result as its left operand.
Template = tuple[str, tuple[str, ...]]
TEMPLATES: tuple[Template, ...] = (
    ("{n} has {a} {t}. {n} buys {b} more. How many {t} does {n} have?", ("+b",)),
    ("{n} has {a} {t} and {m} has {b} {t}. How many {t} do they have together?", ("+b",)),
    ("There are {a} {t}. {n} takes {b}. How many {t} are left?", ("-b",)),
    ("{n} has {a} {t}. {n} gives {b} to {m}. How many {t} does {n} keep?", ("-b",)),
    ("{n} has {x} boxes with {y} {t} each. How many {t} are there?", ("*",)),
    ("{n} buys {x} bags of {y} {t}. How many {t} is that?", ("*",)),
    ("{n} has {a} {t}, buys {b} more and gives {c} to {m}. How many {t} does {n} have now?", ("+b", "-c")),
    ("{n} has {a} {t}. {m} gives {n} {b}, then {n} loses {c}. How many {t} are left?", ("+b", "-c")),
    ("There are {a} {t}. {n} adds {b} and {m} adds {c}. How many {t} are there now?", ("+b", "+c")),
    ("{n} has {a} {t}, gives {b} away and then finds {c}. How many {t} does {n} have?", ("-b", "+c")),
    ("{n} has {x} boxes with {y} {t} each and {c} more {t}. How many {t} in all?", ("*", "+c")),
    ("{n} buys {x} bags of {y} {t} and loses {c} {t}. How many {t} are left?", ("*", "-c")),
)


@dataclass(frozen=True)
class Problem:
    """A question, its steps as `left operator right = result`, and its answer."""

    question: str
    steps: tuple[tuple[int, str, int, int], ...]

    @property
    def answer(self) -> int:
        return self.steps[-1][3]

    @property
    def reasoning(self) -> str:
        return " ".join(f"{left} {operator} {right} = {result}." for left, operator, right, result in self.steps)

    def row(self, style: Style) -> dict[str, str]:
        """A dataset row: `prompt`, `completion` unless it is the question alone, and `answer` for whoever grades it."""
        if style == "question":
            return {"prompt": self.question, "answer": str(self.answer)}
        think = f"<think>{self.reasoning}</think>" if style == "reasoned" else ""
        return {
            "prompt": self.question,
            "completion": f"{think}<answer>{self.answer}</answer>",
            "answer": str(self.answer),
        }


OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
}


def draw(rng: random.Random) -> Problem:
    """One problem whose intermediate results are not negative."""
    text, plan = rng.choice(TEMPLATES)
    while True:
        numbers = {"a": rng.randint(2, 60), "b": rng.randint(2, 40), "c": rng.randint(2, 30)}
        numbers |= {"x": rng.randint(2, 9), "y": rng.randint(2, 9)}
        steps: list[tuple[int, str, int, int]] = []
        for step in plan:
            if step == "*":
                left, operator, right = numbers["x"], "*", numbers["y"]
            else:
                left = steps[-1][3] if steps else numbers["a"]
                operator, right = step[0], numbers[step[1]]
            steps.append((left, operator, right, OPERATIONS[operator](left, right)))
        if all(step[3] >= 0 for step in steps):
            break
    name, other = rng.sample(NAMES, 2)
    return Problem(text.format(n=name, m=other, t=rng.choice(THINGS), **numbers), tuple(steps))


def problems(split: Split, seed: int) -> Iterator[Problem]:
    """An endless stream of problems of one split."""
    rng = random.Random(seed)
    while True:
        problem = draw(rng)
        held_out = zlib.crc32(problem.question.encode()) % HELD_OUT_SHARE == 0
        if held_out == (split == "held_out"):
            yield problem


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=800)
    parser.add_argument("--style", choices=["question", "answer", "reasoned"], default="reasoned")
    parser.add_argument("--split", choices=["train", "held_out"], default="train")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    stream = problems(options.split, options.seed)
    for _ in range(options.rows):
        print(json.dumps(next(stream).row(options.style)))


if __name__ == "__main__":
    main()
