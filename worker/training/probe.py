"""Probe rows: what an adapter makes of a few rows of the training file, as numbers that another process can repeat."""

from collections.abc import Collection, Sequence
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor

ROWS, TOKENS = 4, 128
PREFIXES = 3  # of a row, after which the likeliest next token is looked at: where the adapter changes most
DIGITS = 6
UNDEFINED = 1e30  # in the place of what is not finite, which JSON has no form for

Values = list[list[float]]


@torch.no_grad()
def measure(
    network: PeftModel, rows: Sequence[Sequence[int]], *, scores: bool, bf16: bool, ends: Collection[int] = ()
) -> dict[str, Any]:
    """What the network says with its adapter and without, row by row, so that no padding and no neighbour matters.

    tuned, base: of a model that writes, the log-probability of each token (nats) given those before it; of a reward
    model, the score. next: of a model that writes, the log-probability of the likeliest next token after the first
    `tokens` of a row, which any engine tells unless that token is one of `ends`.
    """
    training = network.training
    network.eval()
    try:
        tuned = [look(network, row, scores, bf16, ends) for row in rows]
        with network.disable_adapter():
            base = [look(network, row, scores, bf16, ends) for row in rows]
    finally:
        network.train(training)
    return {
        "tuned": [values for values, _ in tuned],
        "base": [values for values, _ in base],
        "next": [after(row, tuned[row][1], base[row][1]) for row in range(0 if scores else len(rows))],
    }


def look(
    network: PeftModel, row: Sequence[int], scores: bool, bf16: bool, ends: Collection[int]
) -> tuple[list[float], list[float | None]]:
    device = network.device
    ids_1T = torch.tensor([list(row)], device=device)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
        logits = network(input_ids=ids_1T, attention_mask=torch.ones_like(ids_1T), use_cache=False).logits
    if scores:
        return listed(logits.float().view(-1)[:1]), []
    logprobs_TV = torch.log_softmax(logits[0].float(), -1)
    own_T = logprobs_TV[:-1].gather(-1, ids_1T[0, 1:, None])[:, 0]
    best = logprobs_TV.max(-1)
    likeliest = [
        None if token in ends else value
        for token, value in zip(best.indices.tolist(), listed(best.values), strict=True)
    ]
    return listed(own_T), likeliest


def listed(values_N: Tensor) -> list[float]:
    defined_N = torch.nan_to_num(values_N, nan=-UNDEFINED, posinf=UNDEFINED, neginf=-UNDEFINED)
    return [round(value, DIGITS) for value in defined_N.tolist()]


def after(row: int, tuned: Sequence[float | None], base: Sequence[float | None]) -> list[dict[str, float]]:
    """The prefixes of a row where base and tuned differ most."""
    known = [
        {"row": row, "tokens": place + 1, "tuned": one, "base": other}
        for place, (one, other) in enumerate(zip(tuned, base, strict=True))
        if one is not None and other is not None
    ]
    return sorted(known, key=lambda each: -abs(each["tuned"] - each["base"]))[:PREFIXES]


def defined(values: Values) -> bool:
    return all(abs(value) < UNDEFINED for row in values for value in row)


def cut(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    return [list(row[:TOKENS]) for row in rows[:ROWS] if len(row) > 1]
