"""GSM8K (Cobbe et al. 2021) as a dataset to train on: its worked solutions in two shapes.

    python -m examples.gsm8k gsm8k/train.jsonl --style reasoned > train.jsonl
    python -m examples.gsm8k gsm8k/test.jsonl --style reasoned --rows 200 > valid.jsonl

A row of the original is `{"question", "answer"}`; the answer ends in `#### 72` and its steps carry marks for a
calculator, as in `48/2 = <<48/2=24>>24`, which are left out here.
"""

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

Style = Literal["answer", "reasoned"]

CALCULATOR_MARK = re.compile(r"<<[^<>]*>>")
SOLUTION = re.compile(r"(?P<steps>.*)\n#### *(?P<answer>-?[\d,]+(?:\.\d+)?)\s*", re.DOTALL)


@dataclass(frozen=True)
class Problem:
    """A question, its steps one a line, and its answer, a number without commas."""

    question: str
    reasoning: str
    answer: str

    def row(self, style: Style) -> dict[str, str]:
        """A dataset row: `prompt`, `completion`, and the bare `answer` for whoever grades it."""
        think = f"<think>{self.reasoning}</think>" if style == "reasoned" else ""
        return {
            "prompt": self.question,
            "completion": f"{think}<answer>{self.answer}</answer>",
            "answer": self.answer,
        }


def parse(question: str, answer: str) -> Problem:
    """Raises ValueError when the answer does not end in `#### ` and a number."""
    solution = SOLUTION.fullmatch(answer)
    if solution is None:
        raise ValueError(f"the answer does not end in '#### ' and a number: {answer[-40:]!r}")
    reasoning = CALCULATOR_MARK.sub("", solution["steps"])
    return Problem(question.strip(), reasoning.strip(), solution["answer"].replace(",", ""))


def problems(path: Path) -> Iterator[Problem]:
    """The problems of a GSM8K file, in its order."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            yield parse(row["question"], row["answer"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="train.jsonl or test.jsonl of GSM8K")
    parser.add_argument("--style", choices=["answer", "reasoned"], default="reasoned")
    parser.add_argument("--rows", type=int, help="how many; unset: all")
    parser.add_argument("--skip", type=int, default=0, help="how many of the first to leave out")
    options = parser.parse_args()
    stop = None if options.rows is None else options.skip + options.rows
    for problem in islice(problems(options.file), options.skip, stop):
        print(json.dumps(problem.row(options.style)))


if __name__ == "__main__":
    main()
