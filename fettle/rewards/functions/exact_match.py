"""Is the completion, or the answer inside its tags, exactly the reference?"""

from fettle.rewards.functions.function import (
    EachSample,
    Example,
    Referring,
    Resources,
    RewardFunction,
    reference_of,
    text_of,
)
from fettle.rewards.functions.tags import answer_of
from fettle.rewards.samples import Sample


class ExactMatch(Referring):
    """ignore_case: compares without regard to case. Space around and between words never counts."""

    ignore_case: bool = False


def open_exact_match(parameters: ExactMatch, _: Resources) -> EachSample:
    def value(sample: Sample) -> float:
        texts = [answer_of(sample.completion), text_of(reference_of(sample, parameters.reference))]
        given, wanted = (
            " ".join(text.casefold().split() if parameters.ignore_case else text.split()) for text in texts
        )
        return float(given == wanted)

    return EachSample(value)


EXACT_MATCH = RewardFunction(
    description="1 when the answer (what stands in <answer> tags, else the whole completion) is the reference, else 0.",
    parameters=ExactMatch,
    examples=(
        Example("<think>…</think><answer>Paris</answer>", 1.0, {"answer": "Paris"}, {}),
        Example("paris", 0.0, {"answer": "Paris"}, {}),
        Example("paris", 1.0, {"answer": "Paris"}, {"ignore_case": True}),
    ),
    open=open_exact_match,
)
