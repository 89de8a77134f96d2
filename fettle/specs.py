"""Hyperparameters per method: a discriminated union, every default with its reason.

`auto` is resolved when the job is created, from the number of rows, so that a job shows what it will do.
"""

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fettle.errors import InvalidRequest

Auto = Literal["auto"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Lora(Strict):
    """LoRA on every linear layer (Hu et al. 2021; "all-linear" as in QLoRA, Dettmers et al. 2023, section 4).

    rank 16: enough for the datasets of a few thousand rows that people bring, and below vLLM's default maximum.
    alpha 2 × rank: the common choice; it keeps the update's scale when the rank changes.
    dropout 0: a small dataset is better protected by few epochs and a validation file.
    """

    rank: Literal[1, 8, 16, 32, 64, 128] = 16  # what vLLM can serve
    alpha: int | None = Field(None, ge=1, le=1024)
    dropout: float = Field(0.0, ge=0, lt=1)


class SupervisedHyperparameters(Strict):
    """As the request has them.

    n_epochs auto: enough passes for about 300 optimizer steps, at least 1 and at most 5; more passes over few rows
    overfit, fewer steps do not reach the format.
    batch_size auto: 0.2 % of the rows (OpenAI's rule), at least 8 so that steps are not noise, at most 64; a multiple
    of 8, which 2, 4 or 8 GPUs can share.
    learning_rate auto: 2e-4, ten times what full fine-tuning takes (LoRA Without Regret, Schulman 2025);
    8e-4 for base models under 100 M parameters, whose loss is flatter.
    learning_rate_multiplier: scales the `auto` rate; given together with `learning_rate` it is refused.
    max_seq_length auto: what the base model was made for, at most 2048 tokens.
    quantization "nf4": the frozen base in 4 bits (QLoRA, Dettmers et al. 2023); left out unless memory is short, for
    training takes longer and the adapter is then served on a base that it did not see.
    """

    n_epochs: Auto | Annotated[int, Field(ge=1, le=50)] = "auto"
    batch_size: Auto | Annotated[int, Field(ge=1, le=256)] = "auto"
    learning_rate_multiplier: Auto | Annotated[float, Field(gt=0, le=100)] = "auto"
    learning_rate: Auto | Annotated[float, Field(gt=0, le=1)] = "auto"
    max_seq_length: Auto | Annotated[int, Field(ge=16, le=131_072)] = "auto"
    lora: Lora = Lora()
    quantization: Literal["nf4"] | None = None

    @model_validator(mode="after")
    def one_rate(self) -> "SupervisedHyperparameters":
        if "auto" not in (self.learning_rate, self.learning_rate_multiplier):
            raise ValueError("give either 'learning_rate' or 'learning_rate_multiplier', which scales the `auto` rate")
        return self


class Supervised(Strict):
    hyperparameters: SupervisedHyperparameters = SupervisedHyperparameters()


class SupervisedMethod(Strict):
    type: Literal["supervised"]
    supervised: Supervised = Supervised()


Method = SupervisedMethod  # a discriminated union as soon as there are two
METHOD_TYPES = ("supervised",)

SMALL_BASE = 100_000_000
TARGET_STEPS = 300


def resolve(method: Method, *, rows: int, base_parameters: int, base_length: int) -> dict[str, Any]:
    """The method with every `auto` replaced by the value that will be used.

    rows: examples in the training file. base_parameters: of the base model. base_length: its longest sequence, tokens.
    Raises InvalidRequest for a sequence that the base model cannot read.
    """
    asked = method.supervised.hyperparameters
    batch_size = min(64, max(8, 8 * round(rows * 0.002 / 8))) if asked.batch_size == "auto" else asked.batch_size
    steps_per_epoch = math.ceil(rows / batch_size)
    n_epochs = asked.n_epochs
    if n_epochs == "auto":
        n_epochs = min(5, max(1, round(TARGET_STEPS / steps_per_epoch)))
    multiplier = 1.0 if asked.learning_rate_multiplier == "auto" else asked.learning_rate_multiplier
    learning_rate = asked.learning_rate
    if learning_rate == "auto":
        learning_rate = (8e-4 if base_parameters < SMALL_BASE else 2e-4) * multiplier
    length = min(2048, base_length) if asked.max_seq_length == "auto" else asked.max_seq_length
    if length > base_length:
        raise InvalidRequest(
            f"max_seq_length {length} is more than the {base_length} tokens that the base model reads: ask for less.",
            param="method.supervised.hyperparameters.max_seq_length",
        )
    return {
        "type": "supervised",
        "supervised": {
            "hyperparameters": {
                "n_epochs": n_epochs,
                "batch_size": batch_size,
                "learning_rate_multiplier": multiplier,
                "learning_rate": learning_rate,
                "max_seq_length": length,
                "lora": {
                    "rank": asked.lora.rank,
                    "alpha": asked.lora.alpha or 2 * asked.lora.rank,
                    "dropout": asked.lora.dropout,
                },
                "quantization": asked.quantization,
            }
        },
    }
