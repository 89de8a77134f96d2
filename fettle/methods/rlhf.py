"""RLHF (Ziegler et al. 2019; Ouyang et al. 2022): a reward model from comparisons, a policy that learns from it."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from fettle.errors import InvalidRequest
from fettle.methods import reward_model
from fettle.methods.common import (
    Auto,
    Given,
    Schedule,
    resolve_prompts,
)
from fettle.methods.reward_model import RewardModelHyperparameters
from fettle.methods.sampling import SamplingHyperparameters, resolve_sampling
from fettle.methods.spec import (
    CHAT,
    COMPARISONS,
    LOSSES,
    PROMPTS,
    REWARD_MODEL,
    REWARDS,
    Method,
    MethodSpec,
)
from fettle.schemas.strict import Strict

WHERE = "method.rlhf.hyperparameters"
REWARD_MODEL_WHERE = "method.rlhf.reward_model_hyperparameters"
AUTO = Schedule(steps=40, epochs=50, rate=3e-5, small_rate=1e-3)
COMPLETIONS = 64
RLOO_GROUP = 4
KL_COEFFICIENT, KL_TARGET = 0.05, 6.0
PPO_ALONE = ("kl_target", "ppo_epochs", "minibatch_size", "value_clip", "gamma", "lam", "value_learning_rate")


class RLHFHyperparameters(SamplingHyperparameters):
    """Of the policy's training, as the request has them.

    batch_size auto: prompts of an update, each answered group_size times, so that 64 completions are made, or as many
    as there are prompts for. n_epochs auto: enough passes over the prompts for about 40 updates, at least 1 and at
    most 50.
    learning_rate auto: 3e-5, ten times what TRL's PPO had for full fine-tuning; 1e-3 for base models under 100 M
    parameters.
    group_size auto: 1 for PPO, whose value head tells what a completion is compared with; 4 for RLOO, which compares
    it with its siblings (Ahmadian et al. 2024, section 5: 2 and 4).
    kl_coefficient auto: 0.05 a nat, TRL's. Rewards count in the spread of the start policy's scores, so that it means
    the same for every reward model. With a kl_target it is where β begins.
    kl_target auto: 6 nats a completion, which β is steered to (Ziegler et al. 2019, section 2.2; TRL's old default);
    null: β stays. RLOO knows none.
    ppo_epochs auto: 2 passes over an update's completions; minibatch_size auto: half of them. Four steps an update:
    with four passes the policy leaves the clip range before the second half of them.
    clip 0.2: by how much the ratio of new to old policy may leave 1 (Schulman et al. 2017). value_clip 0.2: by how
    much a value may move in an update, in the spread of the scores (Huang et al. 2024).
    gamma 1: the end of a completion is as good as its beginning. lam 0.95: of the advantages (Schulman et al. 2015).
    missing_eos_penalty 1: what a completion that was cut off loses, in the spread of the scores (Huang et al. 2024).
    value_learning_rate auto: ten times learning_rate; the head begins at zero and must follow the policy.
    """

    group_size: Auto | Annotated[int, Field(ge=1, le=64)] = "auto"
    kl_coefficient: Auto | Annotated[float, Field(ge=0, le=10)] = "auto"
    kl_target: Auto | Annotated[float, Field(gt=0, le=1000)] | None = "auto"
    ppo_epochs: Auto | Annotated[int, Field(ge=1, le=16)] = "auto"
    minibatch_size: Auto | Annotated[int, Field(ge=1, le=4096)] = "auto"
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.2
    value_clip: Annotated[float, Field(gt=0, le=100)] = 0.2
    gamma: Annotated[float, Field(gt=0, le=1)] = 1.0
    lam: Annotated[float, Field(ge=0, le=1)] = 0.95
    missing_eos_penalty: Annotated[float, Field(ge=0, le=100)] = 1.0
    value_learning_rate: Auto | Annotated[float, Field(gt=0, le=1)] = "auto"


class RLHF(Strict):
    """reward_model: a tuned model that scores; without one, phase 1 trains one from the file's comparisons."""

    reward_model: Annotated[str, Field(min_length=1, max_length=300)] | None = None
    algorithm: Literal["ppo", "rloo"] = "ppo"
    hyperparameters: RLHFHyperparameters = RLHFHyperparameters()
    reward_model_hyperparameters: RewardModelHyperparameters | None = None

    @model_validator(mode="after")
    def one_reward_model(self) -> "RLHF":
        if self.reward_model and self.reward_model_hyperparameters:
            raise ValueError(
                "give either 'reward_model', which is used as it is, or 'reward_model_hyperparameters' to train one"
            )
        return self

    @model_validator(mode="after")
    def of_the_algorithm(self) -> "RLHF":
        asked = self.hyperparameters
        if self.algorithm == "rloo":
            strange = [name for name in PPO_ALONE if name in asked.model_fields_set]
            if strange:
                raise ValueError(f"'{strange[0]}' is of the algorithm 'ppo'; leave it out, for 'rloo' has none")
            if asked.group_size == 1:
                raise ValueError("'rloo' compares the completions of a prompt: 'group_size' must be 2 or more")
        return self


class RLHFMethod(Method):
    type: Literal["rlhf"]
    rlhf: RLHF = RLHF()


def resolve(method: RLHFMethod, given: Given) -> dict[str, Any]:
    """Its settings with every `auto` replaced. Raises InvalidRequest."""
    asked, ppo = method.rlhf.hyperparameters, method.rlhf.algorithm == "ppo"
    auto_group = 1 if ppo else RLOO_GROUP
    group_size = auto_group if asked.group_size == "auto" else asked.group_size
    auto_batch = max(1, COMPLETIONS // group_size)
    sampling = resolve_sampling(asked, given, WHERE)
    shared = resolve_prompts(asked, given, AUTO, auto_batch=auto_batch, rows="rows", where=WHERE)
    own = {
        "group_size": group_size,
        "kl_coefficient": KL_COEFFICIENT if asked.kl_coefficient == "auto" else asked.kl_coefficient,
        "clip": asked.clip,
        "missing_eos_penalty": asked.missing_eos_penalty,
        **(of_ppo(asked, shared["batch_size"] * group_size, shared["learning_rate"]) if ppo else {}),
    }
    return {**rest(method, given), "hyperparameters": shared | sampling | own}


def of_ppo(asked: RLHFHyperparameters, completions: int, learning_rate: float) -> dict[str, Any]:
    """Raises InvalidRequest."""
    minibatch_size = max(1, completions // 2) if asked.minibatch_size == "auto" else asked.minibatch_size
    if minibatch_size > completions:
        raise InvalidRequest(
            f"minibatch_size {minibatch_size} is more than the {completions} completions of an update (batch_size × "
            f"group_size): ask for {completions} at most.",
            param=f"{WHERE}.minibatch_size",
        )
    return {
        "kl_target": KL_TARGET if asked.kl_target == "auto" else asked.kl_target,
        "ppo_epochs": 2 if asked.ppo_epochs == "auto" else asked.ppo_epochs,
        "minibatch_size": minibatch_size,
        "value_clip": asked.value_clip,
        "gamma": asked.gamma,
        "lam": asked.lam,
        "value_learning_rate": (
            min(1.0, 10 * learning_rate) if asked.value_learning_rate == "auto" else asked.value_learning_rate
        ),
    }


def rest(method: RLHFMethod, given: Given) -> dict[str, Any]:
    """The settings other than the policy's hyperparameters. Raises InvalidRequest."""
    asked = method.rlhf
    theirs = None
    if asked.reward_model is None:
        of_reward_model = asked.reward_model_hyperparameters or RewardModelHyperparameters()
        if "quantization" not in of_reward_model.model_fields_set:  # both look through the same base
            of_reward_model = of_reward_model.model_copy(update={"quantization": asked.hyperparameters.quantization})
        if of_reward_model.quantization != asked.hyperparameters.quantization:
            raise InvalidRequest(
                "The reward model scores on the policy's own base: 'quantization' must be the same for both. Leave it "
                "out here, and it is taken from 'hyperparameters'.",
                param=f"{REWARD_MODEL_WHERE}.quantization",
            )
        theirs = reward_model.resolved(of_reward_model, given, REWARD_MODEL_WHERE)
    return {
        "reward_model": asked.reward_model,
        "algorithm": asked.algorithm,
        "reward_model_hyperparameters": theirs,
    }


def shapes_of(method: RLHFMethod) -> frozenset[str] | None:
    """With an existing reward model, prompts are enough."""
    return COMPARISONS | PROMPTS if method.rlhf.reward_model is not None else None


SPEC = MethodSpec(
    request=RLHFMethod,
    resolve=resolve,
    shapes=COMPARISONS,
    shapes_of=shapes_of,
    hint=" With an existing 'reward_model', prompts are enough.",
    publishes={CHAT: "hyperparameters", REWARD_MODEL: "reward_model_hyperparameters"},
    reward_model="reward_model",
    unit="prompts",
    labels=REWARDS | LOSSES,
    reported=(*REWARDS, *LOSSES),
    accuracy="train_accuracy",
    figures=reward_model.FIGURES | {"completion_length_mean": ".1f"},
)
