"""Supervised fine-tuning."""

import math
from typing import Any, Literal

from fettle.methods.common import (
    WARMUP_RATIO,
    Given,
    Hyperparameters,
    Schedule,
    Switch,
    auto_batch_size,
    resolve_shared,
    sequence_length,
)
from fettle.methods.spec import TEXTS, Method, MethodSpec
from fettle.schemas.strict import Strict

WHERE = "method.supervised.hyperparameters"
AUTO = Schedule(steps=300, epochs=5, rate=2e-4, small_rate=8e-4)
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


class SupervisedMethod(Method):
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
    """Its settings with every `auto` replaced. Raises InvalidRequest."""
    asked = method.supervised.hyperparameters
    length = sequence_length(asked, given, WHERE)
    blocks = asked.packing and given.file_bytes
    per_block = max(1.0, length * BYTES_PER_TOKEN * given.rows / given.file_bytes) if blocks else 1.0
    auto_size = max(1, round(auto_batch_size(given.rows) / per_block))
    batch_size = auto_size if asked.batch_size == "auto" else asked.batch_size
    steps_per_epoch = math.ceil(given.rows / (batch_size * per_block))
    shared = resolve_shared(asked, given, AUTO, batch_size=batch_size, steps_per_epoch=steps_per_epoch, where=WHERE)
    return {"hyperparameters": {**shared, "packing": asked.packing}}


SPEC = MethodSpec(
    request=SupervisedMethod,
    resolve=resolve,
    shapes=TEXTS,
    figures={"loss": ".4f", "perplexity": ".2f", "token_accuracy": ".1%"},
)
