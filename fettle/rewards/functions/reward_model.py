"""What does a reward model, learned from people's rankings, say to the response?"""

from collections.abc import Sequence
from typing import Any

from fettle.rewards.functions.function import Example, Parameters, Resources, RewardFunction
from fettle.rewards.judges import Judge, JudgeUnavailable
from fettle.rewards.samples import Sample, Score, no_score


class RewardModelParameters(Parameters):
    """model: a tuned model of the project, or a checkpoint of one, that the method `reward_model` has trained."""

    model: str


class RewardModelGrader:
    """The model's own number: of any size and either sign; only differences have a meaning."""

    def __init__(self, parameters: RewardModelParameters, judge: Judge) -> None:
        self.model, self.judge = parameters.model, judge

    def grade(self, samples: Sequence[Sample]) -> list[Score]:
        asked = {row: conversation(sample) for row, sample in enumerate(samples) if sample.prompt}
        scores = [no_score("invalid_variable_error", "item has neither 'messages' nor 'prompt'.") for _ in samples]
        words = self.judge.score(self.model, list(asked.values())) if asked else []
        for row, word in zip(asked, words, strict=True):
            scores[row] = no_score(word.flag, str(word)) if isinstance(word, JudgeUnavailable) else Score(word)
        return scores

    def close(self) -> None: ...


def conversation(sample: Sample) -> list[dict[str, Any]]:
    """As the reward model saw conversations in training."""
    prompt = [{"role": "user", "content": sample.prompt}] if isinstance(sample.prompt, str) else sample.prompt
    return [*prompt, {"role": "assistant", "content": sample.completion}]


def open_reward_model(parameters: RewardModelParameters, resources: Resources) -> RewardModelGrader:
    return RewardModelGrader(parameters, resources.judge)


NAME = "ft:starter:default:helpful:0123456789"
REWARD_MODEL = RewardFunction(
    description="The score of a reward model that you have trained on rankings or pairs; it has no bounds.",
    parameters=RewardModelParameters,
    examples=(Example("Paris.", None, {"prompt": "What is the capital of France?"}, {"model": NAME}),),
    open=open_reward_model,
    judge_kind="reward_model",
)
