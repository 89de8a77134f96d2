"""Real answers of four models to GSM8K's test problems (Cobbe et al. 2021), as pairs and as rankings.

    python -m examples.gsm8k_preferences gsm8k/example_model_solutions.jsonl > pairs.jsonl
    python -m examples.gsm8k_preferences gsm8k/example_model_solutions.jsonl --shape ranking > rankings.jsonl
    python -m examples.gsm8k_preferences gsm8k/example_model_solutions.jsonl --rows 100 --skip 800 > held_out.jsonl

A row of the original is `{"question", "ground_truth", "6b_finetuning": {"is_correct", "solution"}, …}`. Right answers
are better than wrong ones and tied with each other; a question that all models got right, or none did, has nothing to
compare and is left out. Calculator marks, as in `48/2 = <<48/2=24>>24`, are left out too.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from examples.gsm8k import CALCULATOR_MARK

Shape = Literal["pair", "ranking"]
MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")


@dataclass(frozen=True)
class Question:
    """A question and what was answered, some of it right and some wrong, each text once."""

    text: str
    right: tuple[str, ...]
    wrong: tuple[str, ...]

    def pairs(self) -> Iterator[dict[str, Any]]:
        """One right answer against one wrong one, no answer used twice."""
        for chosen, rejected in zip(self.right, self.wrong, strict=False):
            yield {"prompt": self.text, "chosen": chosen, "rejected": rejected}

    def ranking(self) -> dict[str, Any]:
        """All of them, ties as lists."""
        return {"prompt": self.text, "ranked": [list(self.right), list(self.wrong)]}


def parse(row: dict[str, Any]) -> Question:
    """A row of the original."""
    right: dict[str, None] = {}
    wrong: dict[str, None] = {}
    for model in MODELS:
        said = CALCULATOR_MARK.sub("", row[model]["solution"]).strip()
        if said:
            (right if row[model]["is_correct"] else wrong)[said] = None
    return Question(row["question"].strip(), tuple(right), tuple(text for text in wrong if text not in right))


def questions(path: Path) -> Iterator[Question]:
    """Those that some models got right and some wrong, in the file's order."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            question = parse(json.loads(line))
            if question.right and question.wrong:
                yield question


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="example_model_solutions.jsonl of GSM8K")
    parser.add_argument("--shape", choices=["pair", "ranking"], default="pair")
    parser.add_argument("--rows", type=int, help="how many questions; unset: all")
    parser.add_argument("--skip", type=int, default=0, help="how many of the first to leave out")
    options = parser.parse_args()
    stop = None if options.rows is None else options.skip + options.rows
    for question in islice(questions(options.file), options.skip, stop):
        for row in question.pairs() if options.shape == "pair" else [question.ranking()]:
            print(json.dumps(row))


if __name__ == "__main__":
    main()
