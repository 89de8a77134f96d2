from itertools import islice
from pathlib import Path

import pytest

from examples.logic_puzzles import Puzzle, puzzles
from fettle.rewards import Graders, Sample, check
from fettle.rewards.functions.logic_steps import puzzle as read
from fettle.rewards.functions.logic_steps import solutions
from tests.fettle.datasets.formats.given import line, report


def grade(puzzle: Puzzle, *completions: str) -> list[float | None]:
    row = puzzle.row()
    with Graders(check(reward_functions=["logic_steps"])) as graders:
        return [score.reward for score in graders.score([Sample(row["prompt"], text, row) for text in completions])]


def some(count: int, seed: int = 1) -> list[Puzzle]:
    return list(islice(puzzles("train", seed), count))


def test_the_same_seed_gives_the_same_puzzles_and_another_gives_others() -> None:
    first, again, other = ([puzzle.row() for puzzle in some(50, seed)] for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_splits_share_no_puzzle() -> None:
    held_out = {puzzle.question for puzzle in islice(puzzles("held_out", 1), 200)}
    assert held_out.isdisjoint(puzzle.question for puzzle in some(2000))


def test_each_has_one_solution_as_the_reward_function_reads_it() -> None:
    for puzzle in some(300):
        assert solutions(*read(puzzle.row())) == [dict(puzzle.solution)]


def test_no_clue_is_told_that_follows_from_those_before_it() -> None:
    for puzzle in some(100):
        row, clues = puzzle.row(), len(puzzle.clues)
        for told in range(clues):
            shorter = {**row, "constraints": row["constraints"][: len(row["constraints"]) - clues + told]}
            assert len(solutions(*read(shorter))) > 1


def test_its_rows_pass_validation_as_prompts(tmp_path: Path) -> None:
    found = report(tmp_path, b"".join(line(puzzle.row()) for puzzle in some(200)))
    assert (found.shape, found.rows, found.errors) == ("prompts", 200, [])


def test_the_solution_with_its_reasons_scores_1() -> None:
    for puzzle in some(50):
        assert grade(puzzle, f"<think>{puzzle.reasoning}</think><answer>{puzzle.answer}</answer>") == [1.0]


@pytest.mark.parametrize("seed", range(5))
def test_wrong_answers_and_wrong_reasons_score_0(seed: int) -> None:
    puzzle = some(1, seed)[0]
    (one, ours), (other, theirs) = list(puzzle.solution.items())[:2]
    swapped = puzzle.answer.replace(f"{one} = {ours}", f"{one} = {theirs}").replace(
        f"{other} = {theirs}", f"{other} = {ours}"
    )
    wrong = [
        f"<answer>{swapped}</answer>",  # two of them swapped
        f"<answer>{one} = {ours}</answer>",  # not all of them
        f"<think>{one} is not {ours}.</think><answer>{puzzle.answer}</answer>",  # right in spite of its reason
        f"<think>{puzzle.reasoning}</think><answer></answer>",
        f"<answer>{puzzle.answer}, {one} = {theirs}</answer>",  # both ways
        "",
    ]
    assert grade(puzzle, *wrong) == [0.0] * len(wrong)
