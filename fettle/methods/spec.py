"""What a training method says about itself: everything in which it differs from the other methods."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import model_validator

from fettle.methods.common import Given
from fettle.schemas.strict import Strict

CHAT, REWARD_MODEL = "chat", "reward_model"  # what a model is for

TEXTS = frozenset({"chat", "sharegpt", "prompt_completion", "alpaca"})
COMPARISONS = frozenset({"preference", "ranking"})
PROMPTS = TEXTS | {"prompts"}  # graders read a text's own completion as the item's

# A metric's name in a job's events → its label in the terminal, short enough for 80 columns
LOSSES = {
    "train_loss": "loss",
    "train_mean_token_accuracy": "acc",
    "valid_loss": "valid loss",
    "valid_mean_token_accuracy": "acc",
}
REWARDS = {"train_reward_mean": "reward", "valid_reward_mean": "valid reward"}


SETTINGS = frozenset(
    {"supervised", "dpo", "reinforcement", "grpo", "rlhf", "reward_model"}
)  # where methods have theirs


class Method(Strict):
    """A method as a request names it. The settings stand in a field that has the type's name."""

    type: str

    @model_validator(mode="before")
    @classmethod
    def null_is_no_other_method(cls, value: Any) -> Any:
        """Clients that write every field of OpenAI's object send null for the methods that they do not mean."""
        if not isinstance(value, dict):
            return value
        return {name: each for name, each in value.items() if each is not None or name not in SETTINGS}


def nothing(_: Any) -> None:
    return None


@dataclass(frozen=True)
class MethodSpec:
    """A row of `METHODS`.

    request: the schema of `method` in a request. resolve: its own field with every `auto` replaced; raises
    InvalidRequest. shapes: of the dataset rows that it takes. shapes_of: where a request's settings change them; None:
    the row's own. hint: what an error about the shape of rows adds.
    starts_from: the kinds of tuned model that a job can continue from. publishes: the kinds of model that a job
    leaves, the final one first, and the name of the hyperparameters each is trained with.
    graders: what grades the completions, for a method that learns from reward functions.
    tools: that a rollout may call, as the request has them.
    reward_model: the field of the settings that names the reward model, for a method that learns from one.
    unit: what a job counts of its training file.
    labels: metrics in the terminal. reported: metrics in a step's event. accuracy: the metric that OpenAI's step
    metrics CSV calls `train_accuracy`. figures: of an evaluation, and how each is written.
    """

    request: type[Method]
    resolve: Callable[[Any, Given], dict[str, Any]]
    shapes: frozenset[str]
    publishes: Mapping[str, str] = field(default_factory=lambda: {CHAT: "hyperparameters"})
    starts_from: frozenset[str] = frozenset({CHAT})
    shapes_of: Callable[[Any], frozenset[str] | None] = nothing
    hint: str = ""
    graders: Callable[[Any], dict[str, Any] | None] = nothing
    tools: Callable[[Any], list[dict[str, Any]] | None] = nothing
    reward_model: str = ""
    unit: str = "rows"
    labels: Mapping[str, str] = field(default_factory=lambda: LOSSES)
    reported: tuple[str, ...] = tuple(LOSSES)
    accuracy: str = "train_mean_token_accuracy"
    figures: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """What the model that a job ends with is for."""
        return next(iter(self.publishes))

    @property
    def earlier_kinds(self) -> tuple[str, ...]:
        """What the models are for that a job leaves before it ends."""
        return tuple(self.publishes)[1:]
