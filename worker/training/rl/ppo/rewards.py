"""What a token earns in RLHF: the price of leaving the reference at each, the completion's score at the last.

Masks are 1 at a completion's tokens, its EOS among them, and 0 at the padding behind them.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

ERROR_AT_MOST = 0.2  # Ziegler et al. 2019, section 2.2
GAIN = 0.1  # K_β there


def kl_k1(logprobs_BT: Tensor, reference_logprobs_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """kl_BT = ln π − ln ρ at the sampled tokens: unbiased, of either sign (Ziegler et al. 2019, section 2; k1 in
    Schulman 2020, "Approximating KL Divergence")."""
    return (logprobs_BT - reference_logprobs_BT).masked_fill(~mask_BT.bool(), 0.0)


def kl_k3(logprobs_BT: Tensor, reference_logprobs_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """kl_BT = ρ/π − 1 − ln ρ/π: unbiased for tokens drawn from π, never negative, less noisy (k3, Schulman 2020)."""
    difference_BT = (reference_logprobs_BT - logprobs_BT).masked_fill(~mask_BT.bool(), 0.0)
    return difference_BT.expm1() - difference_BT


def penalised(scores_B: Tensor, ended_B: Tensor, missing_eos_penalty: float) -> Tensor:
    """scores_B, less the penalty where no EOS was written (the "EOS trick", Huang et al. 2024)."""
    return scores_B - missing_eos_penalty * (~ended_B.bool()).to(scores_B.dtype)


def token_rewards(scores_B: Tensor, kl_BT: Tensor, mask_BT: Tensor, coefficient: float) -> Tensor:
    """rewards_BT = −β · KL at every token, plus the score at the last (Ziegler et al. 2019, equation 2).

    A completion without a single token earns nothing.
    """
    mask_BT = mask_BT.bool()
    lengths_B = mask_BT.sum(-1)
    at_T = torch.arange(mask_BT.shape[1], device=mask_BT.device)
    last_BT = at_T == lengths_B[:, None] - 1
    rewards_BT = -coefficient * kl_BT.masked_fill(~mask_BT, 0.0)
    return rewards_BT + torch.where(last_BT, scores_B[:, None].to(rewards_BT.dtype), 0.0)


@dataclass(frozen=True)
class FixedKL:
    coefficient: float

    def after(self, kl: float) -> "FixedKL":
        return self


@dataclass(frozen=True)
class AdaptiveKL:
    """Steers β so that the KL of a completion nears `target` (Ziegler et al. 2019, section 2.2).

    β ← β · (1 + 0.1 · clip((KL − target) / target, ±0.2)) after every batch: at most 2 % a batch. target: nats a
    completion.
    """

    coefficient: float
    target: float

    def after(self, kl: float) -> "AdaptiveKL":
        """kl: of the batch just sampled, nats a completion, mean."""
        error = max(-ERROR_AT_MOST, min(ERROR_AT_MOST, (kl - self.target) / self.target))
        return AdaptiveKL(self.coefficient * (1 + GAIN * error), self.target)


KLControl = FixedKL | AdaptiveKL
