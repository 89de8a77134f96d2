"""Supervised fine-tuning."""

import math
from typing import Any, Literal

from fettle.methods.common import (
    SMALL_BASE,
    TARGET_STEPS,
    WARMUP_RATIO,
    Given,
    Hyperparameters,
    Switch,
    auto_batch_size,
    resolve_shared,
    sequence_length,
)
from fettle.strict import Strict

WHERE = "method.supervised.hyperparameters"
BYTES_PER_TOKEN = 4  # of a dataset's file, about; only `auto` with packing relies on it


class SupervisedHyperparameters(Hyperparameters):
    """As the request has them.

    n_epochs auto: enough passes for about 300 optimizer steps, at least 1 and at most 5; more passes over few rows
    overfit, fewer steps do not reach the format.
    batch_size auto: 0.2 % of the rows (OpenAI's rule), at least 8 so that steps are not noise, at most 64; a multiple
    of 8, which 2, 4 or 8 GPUs can share.
    learning_rate auto: 2e-4, ten times what full fine-tuning takes (LoRA Without Regret, Schulman 2025);
    8e-4 for base models under 100 M parameters, whose loss is flatter.
    packing false: with `true` rows are put together into blocks of up to max_seq_length tokens, and batch_size counts
    blocks (auto: as many as hold about the rows that it would have): steps of even size, for rows of uneven length.
    Rows never see each other, packed or not.
    """

    packing: Switch = False


class Supervised(Strict):
    hyperparameters: SupervisedHyperparameters = SupervisedHyperparameters()


class SupervisedMethod(Strict):
    type: Literal["supervised"]
    supervised: Supervised = Supervised()


# What jobs are trained with that were created before these could be asked for
EARLIER: dict[str, Any] = {
    "quantization": None,
    "packing": False,
    "warmup_ratio": WARMUP_RATIO,
    "eval_interval": "epoch",
    "checkpoint_interval": "epoch",
    "early_stopping": False,
}
EARLIER_LORA: dict[str, Any] = {"use_rslora": False, "target_modules": "all-linear"}


def resolve(method: SupervisedMethod, given: Given) -> dict[str, Any]:
    """The hyperparameters with every `auto` replaced. Raises InvalidRequest."""
    asked = method.supervised.hyperparameters
    length = sequence_length(asked, given, WHERE)
    blocks = asked.packing and given.file_bytes
    per_block = max(1.0, length * BYTES_PER_TOKEN * given.rows / given.file_bytes) if blocks else 1.0
    auto_size = max(1, round(auto_batch_size(given.rows) / per_block))
    batch_size = auto_size if asked.batch_size == "auto" else asked.batch_size
    steps_per_epoch = math.ceil(given.rows / (batch_size * per_block))
    auto_epochs = min(5, max(1, round(TARGET_STEPS / steps_per_epoch)))
    shared = resolve_shared(
        asked,
        given,
        n_epochs=auto_epochs if asked.n_epochs == "auto" else asked.n_epochs,
        batch_size=batch_size,
        steps_per_epoch=steps_per_epoch,
        auto_rate=8e-4 if given.base_parameters < SMALL_BASE else 2e-4,
        where=WHERE,
    )
    return {**shared, "packing": asked.packing}
