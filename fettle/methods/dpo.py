"""Direct preference optimization."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from fettle.errors import InvalidRequest
from fettle.methods.common import Auto, Given, Hyperparameters, Schedule, resolve_pairs
from fettle.methods.spec import COMPARISONS, Method, MethodSpec
from fettle.schemas.strict import Strict

WHERE = "method.dpo.hyperparameters"
AUTO = Schedule(steps=300, epochs=3, rate=5e-5, small_rate=4e-4)
LossType = Literal[
    "sigmoid",
    "hinge",
    "ipo",
    "exo_pair",
    "nca_pair",
    "robust",
    "bco_pair",
    "sppo_hard",
    "aot",
    "aot_unpaired",
    "apo_zero",
    "apo_down",
    "discopop",
    "sigmoid_norm",
]
BETA = 0.1
NOISE = {"exo_pair": 1e-3, "robust": 0.1}  # label_smoothing that a loss needs; others do without
NOISY = frozenset({"exo_pair", "robust", "aot", "aot_unpaired"})  # losses that have such a term at all


class DPOHyperparameters(Hyperparameters):
    """As the request has them.

    beta auto: 0.1 (Rafailov et al. 2023, section 6): how dear it is to leave the reference; OpenAI's range.
    loss_type "sigmoid": DPO's own; the others are TRL's, by its names.
    label_smoothing auto: the share of labels taken to be wrong, by the losses that have a term for it: 0.1 for robust
    (Chowdhury et al. 2024), 0.001 for exo_pair (Ji et al. 2024), else 0.
    n_epochs auto: enough passes for about 300 optimizer steps, at least 1 and at most 3: preferences overfit sooner.
    batch_size auto: as for supervised, in pairs.
    learning_rate auto: 5e-5, a quarter of supervised fine-tuning's: the model is there already; 4e-4 for base models
    under 100 M parameters.
    lora.dropout must be 0: policy and reference are compared token by token, and noise would count as a preference.
    """

    beta: Auto | Annotated[float, Field(gt=0, le=2)] = "auto"
    loss_type: LossType = "sigmoid"
    label_smoothing: Auto | Annotated[float, Field(ge=0, lt=0.5)] = "auto"

    @model_validator(mode="after")
    def smoothing_with_a_loss_that_knows_it(self) -> "DPOHyperparameters":
        if self.label_smoothing not in ("auto", 0) and self.loss_type not in NOISY:
            raise ValueError(f"'label_smoothing' goes with one of the losses {', '.join(sorted(NOISY))}")
        if self.label_smoothing == 0 and self.loss_type == "exo_pair":
            raise ValueError("the loss 'exo_pair' needs a 'label_smoothing' above 0, such as 0.001")
        return self


class DPO(Strict):
    hyperparameters: DPOHyperparameters = DPOHyperparameters()


class DPOMethod(Method):
    type: Literal["dpo"]
    dpo: DPO = DPO()


def resolve(method: DPOMethod, given: Given) -> dict[str, Any]:
    """Its settings with every `auto` replaced. Raises InvalidRequest."""
    asked = method.dpo.hyperparameters
    if asked.lora.dropout:
        raise InvalidRequest(
            f"lora.dropout is {asked.lora.dropout:g}, but DPO compares policy and reference without dropout: leave it "
            "out.",
            param=f"{WHERE}.lora.dropout",
        )
    shared = resolve_pairs(asked, given, AUTO, WHERE)
    smoothing = NOISE.get(asked.loss_type, 0.0) if asked.label_smoothing == "auto" else asked.label_smoothing
    own = {
        "beta": BETA if asked.beta == "auto" else asked.beta,
        "loss_type": asked.loss_type,
        "label_smoothing": smoothing,
    }
    return {"hyperparameters": shared | own}


SPEC = MethodSpec(
    request=DPOMethod,
    resolve=resolve,
    shapes=COMPARISONS,
    unit="pairs",
    figures={"preference_accuracy": ".1%", "reward_accuracy": ".1%", "reward_margin": ".4f"},
)
