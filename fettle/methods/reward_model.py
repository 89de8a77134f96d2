"""Reward models: a score for a response, learned from comparisons."""

from typing import Annotated, Any, Literal

from pydantic import Field

from fettle.methods.common import Auto, Given, Hyperparameters, Schedule, resolve_pairs
from fettle.methods.spec import CHAT, COMPARISONS, REWARD_MODEL, Method, MethodSpec
from fettle.schemas.strict import Strict

WHERE = "method.reward_model.hyperparameters"
AUTO = Schedule(steps=300, epochs=3, rate=1e-4, small_rate=1e-3)
CENTERING = 0.01


class RewardModelHyperparameters(Hyperparameters):
    """As the request has them.

    center_rewards_coefficient auto: 0.01, which keeps scores around zero (Eisenstein et al. 2023); comparisons alone
    leave it open where zero is.
    n_epochs auto: enough passes for about 300 optimizer steps, at least 1 and at most 3: reward models overfit after
    the first (Ouyang et al. 2022, appendix C). batch_size auto: as for supervised, in pairs.
    learning_rate auto: 1e-4; 1e-3 for base models under 100 M parameters. The head begins at random and must move.
    """

    center_rewards_coefficient: Auto | Annotated[float, Field(ge=0, le=1)] = "auto"


class RewardModel(Strict):
    hyperparameters: RewardModelHyperparameters = RewardModelHyperparameters()


class RewardModelMethod(Method):
    type: Literal["reward_model"]
    reward_model: RewardModel = RewardModel()


def resolve(method: RewardModelMethod, given: Given) -> dict[str, Any]:
    """Its settings with every `auto` replaced. Raises InvalidRequest."""
    return {"hyperparameters": resolved(method.reward_model.hyperparameters, given, WHERE)}


def resolved(asked: RewardModelHyperparameters, given: Given, where: str) -> dict[str, Any]:
    """where: they stand in the request."""
    shared = resolve_pairs(asked, given, AUTO, where)
    centering = asked.center_rewards_coefficient
    return {**shared, "center_rewards_coefficient": CENTERING if centering == "auto" else centering}


FIGURES = {"reward_mean": ".4f", "pairwise_accuracy": ".1%", "reward_margin": ".4f"}
SPEC = MethodSpec(
    request=RewardModelMethod,
    resolve=resolve,
    shapes=COMPARISONS,
    unit="pairs",
    publishes={REWARD_MODEL: "hyperparameters"},
    starts_from=frozenset({CHAT, REWARD_MODEL}),
    accuracy="train_accuracy",
    figures=FIGURES,
)
