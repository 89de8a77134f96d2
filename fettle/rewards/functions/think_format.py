"""Does the completion reason between think tags, once, before anything else?"""

import re

from fettle.rewards.functions.function import EachSample, Example, Parameters, Resources, RewardFunction
from fettle.rewards.samples import Sample


class ThinkFormat(Parameters):
    """opened: the prompt ends with <think>, as many chat templates have it, so the completion need not open it.
    partial: each tag that is there exactly once gives half."""

    opened: bool = False
    partial: bool = False


WHOLE = re.compile(r"\s*<think>(?P<thought>.+?)</think>(?P<rest>.*\S.*)", re.DOTALL)


def open_think_format(parameters: ThinkFormat, _: Resources) -> EachSample:
    def value(sample: Sample) -> float:
        opened = parameters.opened and not sample.completion.lstrip().startswith("<think>")
        text = "<think>" + sample.completion if opened else sample.completion
        once = [text.count(tag) == 1 for tag in ("<think>", "</think>")]
        match = WHOLE.fullmatch(text)
        whole = all(once) and match is not None and match["thought"].strip() != ""
        return max(float(whole), sum(once) / 2 if parameters.partial else 0.0)

    return EachSample(value)


THINK_FORMAT = RewardFunction(
    description="1 when the completion is <think>reasoning</think> and then an answer, each tag once, else 0.",
    parameters=ThinkFormat,
    examples=(
        Example("<think>2 + 2 is 4</think>4", 1.0, {}, {}),
        Example("<think>2 + 2 is 4</think>", 0.0, {}, {}),
        Example("2 + 2 is 4</think>4", 1.0, {}, {"opened": True}),
        Example("<think>2 + 2 is 4", 0.5, {}, {"partial": True}),
    ),
    open=open_think_format,
)
