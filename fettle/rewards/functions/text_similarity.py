"""How like the reference is the answer? The metrics of OpenAI's grader of the same name."""

from typing import Literal

from fettle.rewards import text_similarity
from fettle.rewards.functions.function import (
    EachSample,
    Example,
    Referring,
    Resources,
    RewardFunction,
    Ungradable,
    reference_of,
    text_of,
)
from fettle.rewards.functions.tags import answer_of
from fettle.rewards.samples import Sample


class TextSimilarity(Referring):
    """metric: fuzzy_match (characters), bleu, gleu (n-grams), rouge_1, rouge_2, rouge_l (words, word pairs, the longest
    common subsequence)."""

    metric: Literal["fuzzy_match", "bleu", "gleu", "rouge_1", "rouge_2", "rouge_l"] = "fuzzy_match"


def open_text_similarity(parameters: TextSimilarity, _: Resources) -> EachSample:
    def value(sample: Sample) -> float:
        reference = text_of(reference_of(sample, parameters.reference))
        try:
            return text_similarity.similarity(parameters.metric, answer_of(sample.completion), reference)
        except text_similarity.TooLong as error:
            raise Ungradable(str(error)) from error

    return EachSample(value)


TEXT_SIMILARITY = RewardFunction(
    description="How like the reference the answer is, from 0 to 1.",
    parameters=TextSimilarity,
    examples=(
        Example("kitten", 1.0, {"answer": "kitten"}, {}),
        Example("the cat sat", 0.8, {"answer": "the cat"}, {"metric": "rouge_1"}),
    ),
    open=open_text_similarity,
)
