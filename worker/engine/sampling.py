"""From logits to tokens: pure functions, row by row, so that a row's token never depends on its batch."""

import torch
from torch import Tensor


def sample(logits_BV: Tensor, temperature_B: Tensor, top_p_B: Tensor, uniform_B: Tensor) -> Tensor:
    """One token a row: the likeliest at temperature 0, else drawn by inverting the distribution's CDF at `uniform_B`.

    logits_BV: any float type. temperature_B ≥ 0; top_p_B in (0, 1]; uniform_B float64 in [0, 1).
    Returns ids_B (int64).
    """
    likeliest_B = logits_BV.argmax(-1)
    if not temperature_B.any():
        return likeliest_B
    drawn_B = draw(nucleus(probabilities(logits_BV, temperature_B), top_p_B), uniform_B)
    return torch.where(temperature_B == 0, likeliest_B, drawn_B)


def probabilities(logits_BV: Tensor, temperature_B: Tensor) -> Tensor:
    """softmax(logits / temperature), float32; rows at temperature 0 are given as for 1."""
    shifted_BV = logits_BV.float() - logits_BV.amax(-1, keepdim=True).float()  # ≤ 0, so that no quotient overflows
    divisor_B = torch.where(temperature_B == 0, 1.0, temperature_B).float()
    return torch.softmax(shifted_BV / divisor_B[:, None], -1)


def nucleus(probabilities_BV: Tensor, top_p_B: Tensor) -> Tensor:
    """Zeroes all but the fewest likeliest tokens that together reach top_p (Holtzman et al. 2020, section 3.1).

    The rest is not renormalised. A row with top_p 1 is left as it is, to the bit.
    """
    if not (top_p_B < 1).any():
        return probabilities_BV
    sorted_BV, order_BV = probabilities_BV.sort(dim=-1, descending=True, stable=True)
    mass_before_BV = sorted_BV.double().cumsum(-1) - sorted_BV
    kept_sorted_BV = (mass_before_BV < top_p_B[:, None]) | (top_p_B[:, None] >= 1)
    kept_BV = torch.zeros_like(kept_sorted_BV).scatter(-1, order_BV, kept_sorted_BV)
    return probabilities_BV * kept_BV


def draw(weights_BV: Tensor, uniform_B: Tensor) -> Tensor:
    """ids_B with P(v) ∝ weights_BV[:, v]: the first token whose cumulated weight exceeds uniform × total."""
    cumulated_BV = weights_BV.double().cumsum(-1)
    target_B = uniform_B.double() * cumulated_BV[:, -1]
    ids_B1 = torch.searchsorted(cumulated_BV, target_B[:, None], right=True)
    return ids_B1[:, 0].clamp(max=weights_BV.shape[-1] - 1)


def logprobs(logits_KV: Tensor, ids_K: Tensor, top: int) -> tuple[Tensor, Tensor, Tensor]:
    """ln softmax at the chosen ids (K), and the `top` likeliest: their ids and logprobs, each (K, top), best first."""
    logprobs_KV = torch.log_softmax(logits_KV.float(), -1)
    best = logprobs_KV.topk(top, -1)
    return logprobs_KV.gather(-1, ids_K[:, None])[:, 0], best.indices, best.values


def penalised(logits_V: Tensor, counts_V: Tensor, frequency: float, presence: float) -> Tensor:
    """OpenAI's penalties: logit - count × frequency - (count > 0) × presence, over the tokens written so far."""
    return logits_V - counts_V * frequency - (counts_V > 0) * presence
