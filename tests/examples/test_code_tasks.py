import re
import shutil
from pathlib import Path

import pytest

from examples.code_tasks import PROBLEMS, Task, fenced, other_than, tasks
from fettle.rewards import Graders, Sample, SampleScores, check
from tests.fettle.datasets.formats.given import line, report

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js here")
LANGUAGES = ["python", pytest.param("javascript", marks=needs_node)]


def grade(task: Task, *completions: str) -> list[SampleScores]:
    row = task.row()
    with Graders(check(reward_functions=["code_tests"])) as graders:
        return graders.score([Sample(row["prompt"], text, row) for text in completions])


def test_there_is_every_problem_to_write_to_debug_and_to_translate_in_both_languages() -> None:
    kinds = {(task.problem.name, task.kind, task.language) for task in tasks()}
    assert len(kinds) == len(PROBLEMS) * 3 * 2


def test_its_rows_pass_validation_as_prompts(tmp_path: Path) -> None:
    found = report(tmp_path, b"".join(line(task.row()) for task in tasks()))
    assert (found.shape, found.rows, found.errors) == ("prompts", len(PROBLEMS) * 6, [])


def test_the_code_shown_is_in_the_language_to_debug_or_to_translate_from() -> None:
    for task in tasks():
        shown = re.findall(r"```(\w+)\n", task.question)
        wanted = {"write": [], "debug": [task.language], "translate": [other_than(task.language)]}
        assert shown == wanted[task.kind]


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_solution_passes_and_the_mistake_does_not(language: str) -> None:
    for task in tasks():
        if task.language == language and task.kind == "debug":
            mistaken = fenced(task.language, task.problem.source(task.language, mistaken=True))
            right, wrong, nothing = grade(task, task.solution, mistaken, "I cannot.")
            assert (right.reward, wrong.reward, nothing.reward) == (1.0, 0.0, 0.0), (task.problem.name, right.printed)


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_passes_and_repeating_what_was_shown_does_not(language: str) -> None:
    for task in tasks():
        if task.language == language and task.kind == "translate":
            shown = task.question[task.question.index("```") :]
            translated, repeated, both = grade(task, task.solution, shown, f"From\n{shown}\nto\n{task.solution}")
            assert (translated.reward, repeated.reward, both.reward) == (1.0, 0.0, 1.0), task.problem.name
