"""TRL's fused LM head: logits of a tile of tokens at a time, on a CPU too only where a label counts.

TRL 1.16 projects hidden states onto the vocabulary tile by tile. With Triton it takes the positions that have a label;
without it every position, prompts and padding too, because accelerators that compile for fixed shapes would compile
anew for every batch. A CPU compiles nothing and pays for each position. Losses and gradients stay what they were.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from trl.trainer import utils

has_triton = utils._use_triton  # type: ignore[attr-defined]  # private; a test guards it


def score_labels_only() -> None:
    """Replaces what the fused LM head asks before it takes the labelled positions. TRL is pinned; a test guards it."""
    utils._use_triton = wants_labels_only  # type: ignore[attr-defined]  # as above


def wants_labels_only(device: torch.device) -> bool:
    return device.type == "cpu" or bool(has_triton(device))


@contextmanager
def in_tiles(base: PreTrainedModel, temperature: float) -> Iterator[list[Tensor]]:
    """Lets `base(…, labels=…, fused_lm_head=True)` give `log_probs` and `entropy` at this temperature.

    Yields the list that the last hidden states (BTD) of each such pass are put into.
    """
    hidden: list[Tensor] = []
    before = base.__dict__.get("forward")
    score_labels_only()
    utils.add_fused_lm_head(base, temperature=temperature, outputs=("log_probs", "entropy"))
    hook = base.base_model.register_forward_hook(lambda *call: hidden.append(last_hidden(call[-1])))
    try:
        yield hidden
    finally:
        hook.remove()
        if before is None:
            del base.forward
        else:
            base.forward = before


def last_hidden(output: Any) -> Tensor:
    found: Tensor = output.last_hidden_state
    return found
