"""Is the completion about as long as wanted?"""

from typing import Literal

from pydantic import Field, model_validator

from fettle.rewards.functions.function import EachSample, Example, Parameters, Resources, RewardFunction
from fettle.rewards.samples import Sample


class Length(Parameters):
    """minimum, maximum: the lengths between which the value is 1; one may be left out. tolerance: over how many more
    or fewer the value falls to 0, in a straight line. unit: words or characters."""

    minimum: int | None = Field(None, ge=0)
    maximum: int | None = Field(None, ge=0)
    tolerance: int = Field(0, ge=0)
    unit: Literal["words", "characters"] = "words"

    @model_validator(mode="after")
    def a_range(self) -> "Length":
        if self.minimum is None and self.maximum is None:
            raise ValueError("give 'minimum', 'maximum' or both")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"'minimum' {self.minimum} is more than 'maximum' {self.maximum}")
        return self


def open_length(parameters: Length, _: Resources) -> EachSample:
    lowest = parameters.minimum or 0

    def value(sample: Sample) -> float:
        length = len(sample.completion.split() if parameters.unit == "words" else sample.completion)
        highest = length if parameters.maximum is None else parameters.maximum
        beyond = max(lowest - length, length - highest, 0)
        return 1.0 if beyond == 0 else max(0.0, 1 - beyond / (parameters.tolerance + 1))

    return EachSample(value)


LENGTH = RewardFunction(
    description="1 while the completion's length is within bounds, falling to 0 over the tolerance outside of them.",
    parameters=Length,
    examples=(
        Example("one two three", 1.0, {}, {"maximum": 3}),
        Example("one two three four", 0.0, {}, {"maximum": 3}),
        Example("one two three four", 0.75, {}, {"maximum": 3, "tolerance": 3}),
        Example("ab", 0.5, {}, {"minimum": 3, "tolerance": 1, "unit": "characters"}),
    ),
    open=open_length,
)
