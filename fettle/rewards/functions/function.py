"""What a reward function is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict

from fettle.rewards.judges import Judge, Kind
from fettle.rewards.samples import Grader, Sample, Score, no_score
from fettle.rewards.sandbox import Limits
from fettle.schemas.strict import Strict

REFERENCES = ("answer", "reference_answer", "reference", "solution", "ground_truth", "completion")


MESSAGE_AT_MOST = 500  # characters


class Parameters(Strict):
    model_config = ConfigDict(frozen=True)


class Referring(Parameters):
    """reference: the key of the reference in the dataset row; unset: the first that is there of the usual names."""

    reference: str | None = None


class Ungradable(Exception):
    """The sample lacks what the function needs. A completion that is merely wrong scores 0 instead."""


@dataclass(frozen=True)
class Resources:
    """What a grader is opened with: the limits of a sandbox, and who asks models."""

    limits: Limits
    judge: Judge


@dataclass(frozen=True)
class Example:
    """A completion and what it scores, for the page and for the tests. `parameters`: those that differ.

    value: None where it depends on the model that is asked.
    """

    completion: str
    value: float | None
    item: dict[str, Any]
    parameters: dict[str, Any]


@dataclass(frozen=True)
class RewardFunction:
    """An entry of the registry.

    open: gives the grader. sandboxed: it runs code that the model wrote. judge_kind: the kind of the model that the
    parameter `model` names.
    """

    description: str
    parameters: type[Parameters]
    examples: tuple[Example, ...]
    open: Callable[[Any, Resources], Grader]
    sandboxed: bool = False
    judge_kind: Kind | None = None


class EachSample:
    """A grader of a plain function of one sample."""

    def __init__(self, value: Callable[[Sample], float]) -> None:
        self.value = value

    def grade(self, samples: Sequence[Sample]) -> list[Score]:
        return [self._score(sample) for sample in samples]

    def _score(self, sample: Sample) -> Score:
        try:
            return Score(float(self.value(sample)))
        except Ungradable as error:
            return no_score("invalid_variable_error", str(error))
        except Exception as error:  # a library's trouble with this sample must not cost the others
            return no_score("other_error", f"{type(error).__name__}: {error}"[:MESSAGE_AT_MOST])

    def close(self) -> None: ...


def reference_of(sample: Sample, key: str | None) -> Any:
    """The reference of the sample's row. Raises Ungradable."""
    if key is not None:
        if key not in sample.item:
            raise Ungradable(f"item has no {key!r}")
        return sample.item[key]
    for name in REFERENCES:
        if name in sample.item:
            return sample.item[name]
    raise Ungradable(f"item has none of {', '.join(REFERENCES)}: name the reference's key in 'reference'")


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else str(value)
