"""Is the answer the reference, as numbers or as mathematics?"""

import re
from collections.abc import Sequence

from fettle.rewards.functions import numbers
from fettle.rewards.functions.function import (
    Example,
    Referring,
    RewardFunction,
    Ungradable,
    reference_of,
    text_of,
)
from fettle.rewards.functions.tags import ANSWER, THINK_END
from fettle.rewards.mathematics import Mathematics, Overrun
from fettle.rewards.samples import Sample, Score, no_score

BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
FINAL = re.compile(r"####\s*(.+)")  # GSM8K's mark
LATEX = re.compile(r"[\\^_{}]|[A-Za-z]\s*=")
WORD = re.compile(r"[^\W\d_]{2}")


class AnswerCorrect(Referring):
    """require_tags: what stands outside of <answer> tags is no answer; else \\boxed{…}, `#### …`, or the last number
    will do."""

    require_tags: bool = False


class AnswerGrader:
    """Numbers are compared here, anything else by math-verify in a process of its own."""

    def __init__(self, parameters: AnswerCorrect) -> None:
        self.parameters, self.mathematics = parameters, Mathematics()

    def grade(self, samples: Sequence[Sample]) -> list[Score]:
        return [self._score(sample) for sample in samples]

    def _score(self, sample: Sample) -> Score:
        try:
            wanted = reference_answer(text_of(reference_of(sample, self.parameters.reference)))
            return Score(float(self._right(sample.completion, wanted)))
        except Ungradable as error:
            return no_score("invalid_variable_error", str(error))
        except Overrun as error:
            return no_score("other_error", str(error))

    def _right(self, completion: str, wanted: str) -> bool:
        given = final_answer(completion, self.parameters.require_tags)
        if given is None:
            return False
        if given.casefold().split() == wanted.casefold().split():
            return given != ""
        goal = numbers.number(wanted)
        if goal is None and not LATEX.search(wanted) and WORD.search(wanted):
            return False  # math-verify would read `listen` as a product, which `silent` equals
        if goal is None or LATEX.search(wanted):
            return self.mathematics.equal(given, wanted)
        value = numbers.number(given)
        if value is None or LATEX.search(given):
            return bool(LATEX.search(given)) and self.mathematics.equal(given, wanted)
        percent = ("%" in given) - ("%" in wanted)
        return numbers.equal(value, goal) or (percent != 0 and numbers.equal(value, goal * 100**percent))

    def close(self) -> None:
        self.mathematics.close()


def reference_answer(text: str) -> str:
    """What a reference says at its end, after GSM8K's mark or in a box; else all of it."""
    for mark in (ANSWER, BOXED, FINAL):
        if found := mark.findall(text):
            return str(found[-1]).strip()
    return text.strip()


def final_answer(completion: str, require_tags: bool) -> str | None:
    """The answer that a completion gives, None without one."""
    if found := ANSWER.findall(completion):
        text = str(found[-1])
        return str(BOXED.findall(text)[-1]).strip() if BOXED.search(text) else text.strip()
    if require_tags:
        return None
    text = completion.rpartition(THINK_END)[2]
    for mark in (BOXED, FINAL):
        if found := mark.findall(text):
            return str(found[-1]).strip()
    found = numbers.FOUND.findall(text)
    return str(found[-1]) if found else text.strip()


ANSWER_CORRECT = RewardFunction(
    description=(
        "1 when the answer equals the reference, else 0: numbers exactly up to the sixth place (1,234.50, 3/4, $7, "
        "50%, a unit after it is not compared), LaTeX by math-verify."
    ),
    parameters=AnswerCorrect,
    examples=(
        Example("<think>40 + 2</think><answer>42</answer>", 1.0, {"answer": "42"}, {}),
        Example("so that is $1,234.50 in all", 1.0, {"answer": "1234.5"}, {}),
        Example("The answer is \\boxed{\\frac{1}{2}}", 1.0, {"answer": "0.5"}, {}),
        Example("42", 0.0, {"answer": "42"}, {"require_tags": True}),
        Example("<answer>41 or 42</answer>", 0.0, {"answer": "He pays 40 + 2 = 42. #### 42"}, {}),
    ),
    open=lambda parameters, _: AnswerGrader(parameters),
)
