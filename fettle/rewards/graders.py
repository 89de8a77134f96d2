"""All graders of a job, opened: what `check` gave, ready to score."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fettle.rewards.formula import Formula, NoResult
from fettle.rewards.functions import FUNCTIONS
from fettle.rewards.functions.function import Resources
from fettle.rewards.judges import Judge, LabelModel, NoJudge, ScoreModel
from fettle.rewards.requirements import has_user_code
from fettle.rewards.samples import Failure, Grader, Sample, SampleScores, Score, no_score
from fettle.rewards.sandbox import Limits, LoadError, Sandbox, SandboxError, level
from fettle.rewards.string_check import StringCheck
from fettle.rewards.text_similarity import TextSimilarity
from fettle.rewards.texts import error as cut_error
from fettle.rewards.texts import joined


@dataclass(frozen=True)
class GraderProgress:
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
        self.entries: list[tuple[str, float, Grader]] = []
        self.current: GraderProgress | None = None
        self.judge = judge or NoJudge()
        self.sandbox: str | None = level() if has_user_code(graders) else None
        factory = GraderFactory(Resources(limits or Limits(), self.judge))
        try:
            for entry in graders:
                self.entries.append((entry["name"], entry["weight"], factory.open(entry["grader"])))
        except BaseException:  # those that are open are let go in any case
            self.close()
            raise

    def score(self, samples: Sequence[Sample]) -> list[SampleScores]:
        """The scores of each sample, in order. What goes wrong with one sample is in its errors, and costs no other."""
        columns = []
        for number, (name, weight, grader) in enumerate(self.entries):
            self.current = GraderProgress(name, number, time.monotonic())
            columns.append((name, weight, grader.grade(samples)))
        self.current = None
        return [
            combine([(name, weight, scores[row]) for name, weight, scores in columns]) for row in range(len(samples))
        ]

    def close(self) -> None:
        for _, _, grader in self.entries:
            grader.close()
        self.entries = []

    def __enter__(self) -> "Graders":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def combine(weighted: Sequence[tuple[str, float, Score]]) -> SampleScores:
    """Σ weight × value over the graders; no reward when one of them has no value. weighted: (name, weight, score)."""
    values: dict[str, float | None] = {}
    errors: dict[str, Failure] = {}
    printed = []
    for name, _, score in weighted:
        for label, part in ((name, score), *((f"{name}.{inner}", part) for inner, part in score.parts.items())):
            values[label] = part.value
            if part.failure is not None:
                errors[label] = Failure(part.failure.flag, cut_error(part.failure.message))
            printed.append(part.printed)
    terms = [None if score.value is None else weight * score.value for _, weight, score in weighted]
    reward = None if None in terms else float(sum(term for term in terms if term is not None))
    if reward is not None and not math.isfinite(reward):
        errors["reward"] = Failure("other_error", f"the weighted sum of the graders' values is {reward}")
        reward = None
    return SampleScores(reward, values, joined(printed), errors)


class Multi:
    """Several graders and a formula over their values."""

    def __init__(self, graders: dict[str, Grader], formula: Formula) -> None:
        self.graders, self.formula = graders, formula

    def grade(self, samples: Sequence[Sample]) -> list[Score]:
        columns = {name: grader.grade(samples) for name, grader in self.graders.items()}
        return [self._combine({name: scores[row] for name, scores in columns.items()}) for row in range(len(samples))]

    def _combine(self, parts: dict[str, Score]) -> Score:
        values = {name: score.value for name, score in parts.items() if score.value is not None}
        for name in sorted(self.formula.used - set(values)):
            failure = parts[name].failure
            assert failure is not None  # noqa: S101 — a score has a value or a failure
            return Score(None, Failure(failure.flag, f"{name}: {failure.message}"), parts=parts)
        try:
            return Score(self.formula(values), parts=parts)
        except NoResult as error:
            return Score(None, Failure("formula_parse_error", f"calculate_output: {error}"), parts=parts)

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

    def grade(self, samples: Sequence[Sample]) -> list[Score]:
        try:
            results = self.sandbox.grade([self._arguments(sample) for sample in samples])
        except SandboxError as error:
            return [no_score("python_grader_server_error", str(error)) for _ in samples]
        return [
            Score(result.value, printed=result.printed)
            if result.error is None
            else Score(None, Failure("python_grader_runtime_error", result.error), result.printed)
            for result in results
        ]

    def _arguments(self, sample: Sample) -> tuple[Any, ...]:
        if self.sandbox.function == "grade":
            return sample.namespace, sample.item
        return sample.prompt_text, sample.completion, sample.item

    def close(self) -> None:
        self.sandbox.close()


class GraderFactory:
    """Makes graders of what `check` gave."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    def open(self, grader: Mapping[str, Any]) -> Grader:
        return FACTORIES[grader["type"]](self, grader)

    def multi(self, spec: Mapping[str, Any]) -> Grader:
        parts: dict[str, Grader] = {}
        try:
            for name, inner in spec["graders"].items():
                parts[name] = self.open(inner)
        except BaseException:  # as above
            for part in parts.values():
                part.close()
            raise
        return Multi(parts, Formula(spec["calculate_output"], set(parts)))

    def function(self, spec: Mapping[str, Any]) -> Grader:
        entry = FUNCTIONS[spec["function"]]
        return entry.open(entry.parameters.model_validate(spec["parameters"]), self.resources)


FACTORIES: dict[str, Callable[[GraderFactory, Mapping[str, Any]], Grader]] = {
    "string_check": lambda factory, spec: StringCheck(spec["operation"], spec["input"], spec["reference"]),
    "text_similarity": lambda factory, spec: TextSimilarity(
        spec["evaluation_metric"], spec["input"], spec["reference"]
    ),
    "python": lambda factory, spec: UserCode(spec["name"], spec["source"], factory.resources.limits),
    "score_model": lambda factory, spec: ScoreModel(spec, factory.resources.judge),
    "label_model": lambda factory, spec: LabelModel(spec, factory.resources.judge),
    "function": GraderFactory.function,
    "multi": GraderFactory.multi,
}
