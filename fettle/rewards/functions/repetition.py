"""How much does the completion repeat itself? A penalty."""

from pydantic import Field

from fettle.rewards.functions.function import EachSample, Example, Parameters, Resources, RewardFunction
from fettle.rewards.samples import Sample


class Repetition(Parameters):
    """n: words in a phrase that counts as repeated when it comes again."""

    n: int = Field(3, ge=1, le=20)


def open_repetition(parameters: Repetition, _: Resources) -> EachSample:
    def value(sample: Sample) -> float:
        words = sample.completion.casefold().split()
        phrases = [tuple(words[at : at + parameters.n]) for at in range(len(words) - parameters.n + 1)]
        return len(set(phrases)) / len(phrases) - 1 if phrases else 0.0

    return EachSample(value)


REPETITION = RewardFunction(
    description=(
        "A penalty from 0 (no phrase of n words comes twice) towards −1 (nothing but one phrase): the share of "
        "different phrases, less 1 (Yeo et al. 2025, section 4.2)."
    ),
    parameters=Repetition,
    examples=(
        Example("one two three four five", 0.0, {}, {}),
        Example("no no no no", -0.75, {}, {"n": 1}),
    ),
    open=open_repetition,
)
