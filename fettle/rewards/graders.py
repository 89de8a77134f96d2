"""All graders of a job, opened: what `check` gave, ready to score."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fettle.rewards.formula import Formula, NoResult
from fettle.rewards.functions import FUNCTIONS
from fettle.rewards.functions.function import Means
from fettle.rewards.judges import Judge, LabelModel, NoJudge, ScoreModel
from fettle.rewards.needs import has_user_code
from fettle.rewards.samples import Failure, Grader, Mark, Sample, Score, failed
from fettle.rewards.sandbox import Limits, LoadError, Sandbox, SandboxError, level
from fettle.rewards.string_check import StringCheck
from fettle.rewards.text_similarity import TextSimilarity
from fettle.rewards.texts import error as cut_error
from fettle.rewards.texts import joined


@dataclass(frozen=True)
class Current:
    """The grader that is scoring a batch, how many have scored it already, and since when, in monotonic seconds."""

    name: str
    done: int
    since: float


class Graders:
    """Scores batches of samples.

    graders: what `check` gave. limits: of each sandbox. judge: answers for models.
    sandbox: what holds user code, where there is any, for the job's record. current: what is scoring now, for another
    thread to read.
    Opening loads user code: raises SandboxError when it does not load, or when this machine cannot confine it.
    Not for two threads at once; close it, or use it in a `with`.
    """

    def __init__(
        self, graders: Sequence[Mapping[str, Any]], *, limits: Limits | None = None, judge: Judge | None = None
    ) -> None:
        self.opened: list[tuple[str, float, Grader]] = []
        self.current: Current | None = None
        self.judge = judge or NoJudge()
        self.sandbox: str | None = level() if has_user_code(graders) else None
        opener = Opener(Means(limits or Limits(), self.judge))
        try:
            for entry in graders:
                self.opened.append((entry["name"], entry["weight"], opener.open(entry["grader"])))
        except BaseException:
            self.close()
            raise

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """A score a sample, in order. Whatever goes wrong with a sample is in its score, and costs no other."""
        columns = []
        for number, (name, weight, grader) in enumerate(self.opened):
            self.current = Current(name, number, time.monotonic())
            columns.append((name, weight, grader.grade(samples)))
        self.current = None
        return [
            combined([(name, weight, marks[row]) for name, weight, marks in columns]) for row in range(len(samples))
        ]

    def close(self) -> None:
        for _, _, grader in self.opened:
            grader.close()
        self.opened = []

    def __enter__(self) -> "Graders":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def combined(marks: Sequence[tuple[str, float, Mark]]) -> Score:
    """Σ weight × value over the graders; no reward when one of them has no value."""
    scores: dict[str, float | None] = {}
    errors: dict[str, Failure] = {}
    printed = []
    for name, _, mark in marks:
        for label, part in ((name, mark), *((f"{name}.{inner}", part) for inner, part in mark.parts.items())):
            scores[label] = part.value
            if part.failure is not None:
                errors[label] = Failure(part.failure.flag, cut_error(part.failure.message))
            printed.append(part.printed)
    values = [None if mark.value is None else weight * mark.value for _, weight, mark in marks]
    reward = None if None in values else float(sum(value for value in values if value is not None))
    if reward is not None and not math.isfinite(reward):
        errors["reward"] = Failure("other_error", f"the weighted sum of the graders' values is {reward}")
        reward = None
    return Score(reward, scores, joined(printed), errors)


class Multi:
    """Several graders and a formula over their values."""

    def __init__(self, graders: dict[str, Grader], formula: Formula) -> None:
        self.graders, self.formula = graders, formula

    def grade(self, samples: Sequence[Sample]) -> list[Mark]:
        columns = {name: grader.grade(samples) for name, grader in self.graders.items()}
        return [self._combine({name: marks[row] for name, marks in columns.items()}) for row in range(len(samples))]

    def _combine(self, parts: dict[str, Mark]) -> Mark:
        values = {name: mark.value for name, mark in parts.items() if mark.value is not None}
        for name in sorted(self.formula.used - set(values)):
            failure = parts[name].failure
            assert failure is not None  # noqa: S101 — a mark has a value or a failure
            return Mark(None, Failure(failure.flag, f"{name}: {failure.message}"), parts=parts)
        try:
            return Mark(self.formula(values), parts=parts)
        except NoResult as error:
            return Mark(None, Failure("formula_parse_error", f"calculate_output: {error}"), parts=parts)

    def close(self) -> None:
        for grader in self.graders.values():
            grader.close()


class UserCode:
    """A user's `grade(sample, item)` or `reward(prompt, completion, example)`, in a sandbox of its own."""

    def __init__(self, name: str, source: str, limits: Limits) -> None:
        try:
            self.sandbox = Sandbox(source, limits)
        except LoadError as error:
            raise LoadError(f"{name}: {error}") from error

    def grade(self, samples: Sequence[Sample]) -> list[Mark]:
        try:
            verdicts = self.sandbox.grade([self._arguments(sample) for sample in samples])
        except SandboxError as error:
            return [failed("python_grader_server_error", str(error)) for _ in samples]
        return [
            Mark(verdict.value, printed=verdict.printed)
            if verdict.error is None
            else Mark(None, Failure("python_grader_runtime_error", verdict.error), verdict.printed)
            for verdict in verdicts
        ]

    def _arguments(self, sample: Sample) -> tuple[Any, ...]:
        if self.sandbox.function == "grade":
            return sample.namespace, sample.item
        return sample.prompt_text, sample.completion, sample.item

    def close(self) -> None:
        self.sandbox.close()


class Opener:
    """Turns what `check` gave into graders that hold what they need."""

    def __init__(self, means: Means) -> None:
        self.means = means

    def open(self, grader: Mapping[str, Any]) -> Grader:
        return OPENERS[grader["type"]](self, grader)

    def multi(self, spec: Mapping[str, Any]) -> Grader:
        parts: dict[str, Grader] = {}
        try:
            for name, part in spec["graders"].items():
                parts[name] = self.open(part)
        except BaseException:
            for opened in parts.values():
                opened.close()
            raise
        return Multi(parts, Formula(spec["calculate_output"], set(parts)))

    def function(self, spec: Mapping[str, Any]) -> Grader:
        entry = FUNCTIONS[spec["function"]]
        return entry.open(entry.parameters.model_validate(spec["parameters"]), self.means)


OPENERS: dict[str, Callable[[Opener, Mapping[str, Any]], Grader]] = {
    "string_check": lambda opener, spec: StringCheck(spec["operation"], spec["input"], spec["reference"]),
    "text_similarity": lambda opener, spec: TextSimilarity(spec["evaluation_metric"], spec["input"], spec["reference"]),
    "python": lambda opener, spec: UserCode(spec["name"], spec["source"], opener.means.limits),
    "score_model": lambda opener, spec: ScoreModel(spec, opener.means.judge),
    "label_model": lambda opener, spec: LabelModel(spec, opener.means.judge),
    "function": Opener.function,
    "multi": Opener.multi,
}
