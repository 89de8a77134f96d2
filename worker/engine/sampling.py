"""From logits to tokens: pure functions, row by row, so that a row's token never depends on its batch."""

import torch
from torch import Tensor

from worker.engine.grammar import Matcher


def sample(logits_BV: Tensor, temperature_B: Tensor, top_p_B: Tensor, uniform_B: Tensor) -> Tensor:
    """One token a row: the likeliest at temperature 0, else drawn by inverting the distribution's CDF at `uniform_B`.

    logits_BV: any float type. temperature_B ≥ 0; top_p_B in (0, 1]; uniform_B float64 in [0, 1).
    Returns ids_B (int64).
    """
    ids_B = logits_BV.argmax(-1)
    drawing_K = temperature_B.nonzero()[:, 0]
    if len(drawing_K):
        probabilities_KV = probabilities(logits_BV[drawing_K], temperature_B[drawing_K])
        ids_B[drawing_K] = draw(nucleus(probabilities_KV, top_p_B[drawing_K]), uniform_B[drawing_K])
    return ids_B


def probabilities(logits_BV: Tensor, temperature_B: Tensor) -> Tensor:
    """softmax(logits / temperature), float32. temperature_B > 0."""
    shifted_BV = logits_BV.float() - logits_BV.amax(-1, keepdim=True).float()  # ≤ 0, so that no quotient overflows
    return torch.softmax(shifted_BV / temperature_B.float()[:, None], -1)


def nucleus(probabilities_BV: Tensor, top_p_B: Tensor) -> Tensor:
    """Zeroes all but the fewest likeliest tokens that together reach top_p (Holtzman et al. 2020, section 3.1).

    The rest is not renormalised. A row with top_p 1 is left as it is, and pays for no sorting.
    """
    cut_K = (top_p_B < 1).nonzero()[:, 0]
    if not len(cut_K):
        return probabilities_BV
    sorted_KV, order_KV = probabilities_BV[cut_K].sort(dim=-1, descending=True, stable=True)
    kept_sorted_KV = sorted_KV.double().cumsum(-1) - sorted_KV < top_p_B[cut_K, None]
    kept_KV = torch.zeros_like(kept_sorted_KV).scatter(-1, order_KV, kept_sorted_KV)
    cut_BV = probabilities_BV.clone()
    cut_BV[cut_K] *= kept_KV
    return cut_BV


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


def grammatical(matcher: Matcher, width: int) -> Tensor:
    """Which tokens a grammar lets come next: bool_V for logits of that width. Ids without a token never may."""
    allowed_V = torch.zeros(width, dtype=torch.bool)
    mask = torch.frombuffer(bytearray(matcher.mask()), dtype=torch.uint8)
    allowed_V[: len(mask)] = mask[:width] > 0
    return allowed_V
