"""Does the completion say its answer between answer tags, once, at its end?"""

from fettle.rewards.functions.function import EachSample, Example, Parameters, Resources, RewardFunction
from fettle.rewards.functions.tags import ANSWER
from fettle.rewards.samples import Sample


class AnswerFormat(Parameters):
    """partial: each tag that is there exactly once gives half."""

    partial: bool = False


def open_answer_format(parameters: AnswerFormat, _: Resources) -> EachSample:
    def value(sample: Sample) -> float:
        text = sample.completion.strip()
        once = [text.count(tag) == 1 for tag in ("<answer>", "</answer>")]
        found = ANSWER.findall(text)
        whole = all(once) and text.endswith("</answer>") and bool(found) and found[0].strip() != ""
        return max(float(whole), sum(once) / 2 if parameters.partial else 0.0)

    return EachSample(value)


ANSWER_FORMAT = RewardFunction(
    description="1 when the completion ends with <answer>…</answer>, each tag once and something between, else 0.",
    parameters=AnswerFormat,
    examples=(
        Example("<think>2 + 2 is 4</think><answer>4</answer>", 1.0, {}, {}),
        Example("<answer>4</answer> I think", 0.0, {}, {}),
        Example("<answer>4", 0.5, {}, {"partial": True}),
    ),
    open=open_answer_format,
)
