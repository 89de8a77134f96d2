"""Writes the data of the console's lessons: small files that ship in the package, so that a lesson needs no internet.

    python -m examples.lessons                                # all but the pairs, which need a server:
    OPENAI_BASE_URL=… OPENAI_API_KEY=… python -m examples.lessons --pairs

Every lesson asks the same held-out questions before and after. The better response of a pair is right and reasoned; the
worse one is what the starter itself says, as when people correct a model.
"""

import argparse
import json
import random
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from examples import rlhf, running
from examples.preferences import against
from examples.word_problems import Problem, Split, problems

FOLDER = Path(__file__).parent.parent / "api" / "console" / "learn" / "rows"
SEED, EXAM_SEED, VOTES_SEED = 7, 70, 700
NAMED, SHOWN, RANKINGS, PAIRS, FEW = 400, 800, 310, 320, 10
VALIDATION, EXAM, ASKED = 24, 40, 6

Row = dict[str, Any]


def named(problem: Problem) -> Row:
    """Answered at once, with what is counted."""
    things = problem.question.partition("How many ")[2].partition(" ")[0]
    return {"prompt": problem.question, "completion": f"<answer>{problem.answer} {things}</answer>"}


def reasoned(problem: Problem) -> Row:
    row = problem.row("reasoned")
    return {"prompt": row["prompt"], "completion": row["completion"]}


def question(problem: Problem) -> Row:
    return problem.row("question")


def ranked(count: int, split: Split) -> list[Row]:
    """Rankings of one taste: right with its reasoning, then right, then wrong."""
    rng = random.Random(SEED)
    return [rlhf.ranking(problem, rng) for problem in islice(problems(split, SEED), count)]


def made(write: Callable[[Problem], Row], count: int, split: Split = "train", seed: int = SEED) -> list[Row]:
    return [write(problem) for problem in islice(problems(split, seed), count)]


def files() -> dict[str, list[Row]]:
    """Each file's rows, by its name."""
    return {
        "exam": made(question, EXAM, "held_out", EXAM_SEED),
        "asked": made(question, ASKED, "train", VOTES_SEED),
        "named": made(named, NAMED),
        "named_held_out": made(named, VALIDATION, "held_out"),
        "reasoned": made(reasoned, SHOWN),
        "reasoned_held_out": made(reasoned, VALIDATION, "held_out"),
        "rankings": ranked(RANKINGS, "train"),
        "rankings_held_out": ranked(VALIDATION, "held_out"),
        "ten_questions": made(question, FEW),
        "questions_held_out": made(question, VALIDATION, "held_out"),
    }


def pairs() -> dict[str, list[Row]]:
    client = running.connect()
    return {
        "pairs": list(against(client, "starter", "train", PAIRS, SEED)),
        "pairs_held_out": list(against(client, "starter", "held_out", 2 * VALIDATION, SEED)),
    }


def lines(rows: Iterable[Row]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", action="store_true", help="ask the starter of a running server for its own answers")
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, rows in (pairs() if options.pairs else files()).items():
        (FOLDER / f"{name}.jsonl").write_text(lines(rows))
        print(f"{len(rows):4} rows  {name}.jsonl")


if __name__ == "__main__":
    main()
