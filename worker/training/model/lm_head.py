"""TRL's fused LM head, on a CPU too only where a label counts.

TRL 1.16 projects hidden states onto the vocabulary tile by tile. With Triton it takes the positions that have a label;
without it every position, prompts and padding too, because accelerators that compile for fixed shapes would compile
anew for every batch. A CPU compiles nothing and pays for each position. Losses and gradients stay what they were.
"""

import torch
from trl.trainer import utils

has_triton = utils._use_triton  # type: ignore[attr-defined]


def score_labels_only() -> None:
    """Replaces what the fused LM head asks before it takes the labelled positions. TRL is pinned; a test guards it."""
    utils._use_triton = wants_labels_only  # type: ignore[attr-defined]


def wants_labels_only(device: torch.device) -> bool:
    return device.type == "cpu" or bool(has_triton(device))
