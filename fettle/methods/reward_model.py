"""Reward models: a score for a response, learned from comparisons."""

import math
from typing import Annotated, Any, Literal

from pydantic import Field

from fettle.methods.common import (
    SMALL_BASE,
    TARGET_STEPS,
    Auto,
    Given,
    Hyperparameters,
    auto_batch_size,
    resolve_shared,
)
from fettle.strict import Strict

WHERE = "method.reward_model.hyperparameters"
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


class RewardModelMethod(Strict):
    type: Literal["reward_model"]
    reward_model: RewardModel = RewardModel()


def resolve(method: RewardModelMethod, given: Given) -> dict[str, Any]:
    """The hyperparameters with every `auto` replaced. Raises InvalidRequest."""
    return resolved(method.reward_model.hyperparameters, given, WHERE)


def resolved(asked: RewardModelHyperparameters, given: Given, where: str) -> dict[str, Any]:
    """where: they stand in the request."""
    batch_size = auto_batch_size(given.rows) if asked.batch_size == "auto" else asked.batch_size
    steps_per_epoch = math.ceil(given.rows / batch_size)
    auto_epochs = min(3, max(1, round(TARGET_STEPS / steps_per_epoch)))
    shared = resolve_shared(
        asked,
        given,
        n_epochs=auto_epochs if asked.n_epochs == "auto" else asked.n_epochs,
        batch_size=batch_size,
        steps_per_epoch=steps_per_epoch,
        auto_rate=1e-3 if given.base_parameters < SMALL_BASE else 1e-4,
        where=where,
    )
    centering = asked.center_rewards_coefficient
    return {**shared, "center_rewards_coefficient": CENTERING if centering == "auto" else centering}
