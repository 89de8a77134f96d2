"""Probe rows: what an adapter makes of a few rows of the training file, as numbers that another process can repeat."""

from collections.abc import Sequence
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor

ROWS, TOKENS = 4, 128
NEXT_AT = (0.25, 0.5, 1.0)  # parts of a row after which the likeliest next token is looked at
DIGITS = 6

Values = list[list[float]]


@torch.no_grad()
def measure(network: PeftModel, rows: Sequence[Sequence[int]], *, scores: bool, bf16: bool) -> dict[str, Any]:
    """What the network says with its adapter and without, row by row, so that no padding and no neighbour matters.

    values: of a model that writes, the log-probability of each token (nats) given those before it; of a reward model,
    the score. next: of a model that writes, the log-probability of the likeliest next token after some prefixes, which
    any engine tells.
    """
    training = network.training
    network.eval()
    try:
        tuned = [look(network, row, scores, bf16) for row in rows]
        with network.disable_adapter():
            base = [look(network, row, scores, bf16) for row in rows]
    finally:
        network.train(training)
    return {
        "tuned": [values for values, _ in tuned],
        "base": [values for values, _ in base],
        "next": [] if scores else [{"tuned": t, "base": b} for (_, t), (_, b) in zip(tuned, base, strict=True)],
    }


def look(network: PeftModel, row: Sequence[int], scores: bool, bf16: bool) -> tuple[list[float], list[float]]:
    device = network.device
    ids_1T = torch.tensor([list(row)], device=device)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
        logits = network(input_ids=ids_1T, attention_mask=torch.ones_like(ids_1T), use_cache=False).logits
    if scores:
        return [rounded(logits.float().view(-1)[0])], []
    logprobs_TV = torch.log_softmax(logits[0].float(), -1)
    own_T = logprobs_TV[:-1].gather(-1, ids_1T[0, 1:, None])[:, 0]
    best = [rounded(logprobs_TV[place].max()) for place in places(len(row))]
    return [rounded(value) for value in own_T], best


def rounded(value: Tensor) -> float:
    return round(float(value), DIGITS)


def places(length: int) -> list[int]:
    """Of the last tokens of the prefixes."""
    return [max(0, round(length * part) - 1) for part in NEXT_AT]


def cut(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    return [list(row[:TOKENS]) for row in rows[:ROWS] if len(row) > 1]
