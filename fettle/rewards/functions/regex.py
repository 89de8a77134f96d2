"""Does a pattern match? By the `regex` package, which ends a search that takes too long."""

import regex
from pydantic import Field, field_validator

from fettle.rewards.functions.function import EachSample, Example, Parameters, Resources, RewardFunction, Ungradable
from fettle.rewards.functions.patterns import SECONDS, BadPattern, compiled
from fettle.rewards.samples import Sample


class Regex(Parameters):
    """pattern: as Python's `re` has them. full: it must match the whole completion, and not only be found in it.
    ignore_case, multiline (^ and $ match at lines), dotall (. matches line ends): its flags."""

    pattern: str = Field(max_length=2000)
    full: bool = False
    ignore_case: bool = False
    multiline: bool = False
    dotall: bool = False

    @field_validator("pattern")
    @classmethod
    def can_be_read(cls, pattern: str) -> str:
        try:
            compiled(pattern)
        except BadPattern as error:
            raise ValueError(f"{pattern!r} is not a valid pattern: {error}") from error
        return pattern


def open_regex(parameters: Regex, _: Resources) -> EachSample:
    flags = parameters.ignore_case * regex.IGNORECASE | parameters.multiline * regex.MULTILINE
    pattern = compiled(parameters.pattern, flags | parameters.dotall * regex.DOTALL)
    look = pattern.fullmatch if parameters.full else pattern.search

    def value(sample: Sample) -> float:
        try:
            return float(look(sample.completion, timeout=SECONDS) is not None)
        except TimeoutError as error:
            raise Ungradable(f"the pattern took more than {SECONDS:g} seconds") from error

    return EachSample(value)


REGEX = RewardFunction(
    description="1 when the pattern is found in the completion, else 0.",
    parameters=Regex,
    examples=(
        Example("The answer is 42.", 1.0, {}, {"pattern": r"\d+"}),
        Example("The answer is 42.", 0.0, {}, {"pattern": r"\d+", "full": True}),
    ),
    open=open_regex,
)
