"""From rewards and values to advantages and returns."""

import torch
from torch import Tensor

SMALLEST = 1e-8  # added to a variance before it divides


def gae(rewards_BT: Tensor, values_BT: Tensor, mask_BT: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """(advantages_BT, returns_BT): generalised advantage estimation (Schulman et al. 2015, equation 16).

    δ_t = r_t + γ V_{t+1} − V_t;  A_t = δ_t + γλ A_{t+1};  returns = A + V, which the values learn. values_BT: of the
    state in which token t is chosen. What comes after a completion's last token is worth 0, also where it was cut
    off. Padding gets 0.
    """
    mask_BT = mask_BT.bool()
    rewards_BT, values_BT = rewards_BT.masked_fill(~mask_BT, 0.0), values_BT.masked_fill(~mask_BT, 0.0)
    advantages_BT = torch.zeros_like(rewards_BT)
    ahead_B = next_value_B = torch.zeros_like(rewards_BT[:, 0]) if rewards_BT.shape[1] else rewards_BT.sum(-1)
    for t in reversed(range(rewards_BT.shape[1])):
        delta_B = rewards_BT[:, t] + gamma * next_value_B - values_BT[:, t]
        ahead_B = (delta_B + gamma * lam * ahead_B).masked_fill(~mask_BT[:, t], 0.0)
        advantages_BT[:, t], next_value_B = ahead_B, values_BT[:, t]
    return advantages_BT, advantages_BT + values_BT


def masked_mean(x_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Over the tokens; 0 where there is none."""
    mask_BT = mask_BT.bool()
    return x_BT.masked_fill(~mask_BT, 0.0).sum() / mask_BT.sum().clamp(min=1)


def masked_variance(x_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Biased, over the tokens; 0 where there is none."""
    return masked_mean((x_BT - masked_mean(x_BT, mask_BT)) ** 2, mask_BT)


def whitened(x_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """To mean 0 and variance 1 over the tokens of the batch (Huang et al. 2024); padding gets 0.

    Of one token, or of equal ones, nothing is left.
    """
    centred_BT = x_BT - masked_mean(x_BT, mask_BT)
    scaled_BT = centred_BT * torch.rsqrt(masked_variance(x_BT, mask_BT) + SMALLEST)
    return scaled_BT.masked_fill(~mask_BT.bool(), 0.0)


def explained_variance(values_BT: Tensor, returns_BT: Tensor, mask_BT: Tensor) -> float:
    """1 − Var(returns − values) / Var(returns): 1 for perfect values, 0 for a constant; 0 where returns do not vary."""
    variance = masked_variance(returns_BT, mask_BT)
    if variance <= SMALLEST:
        return 0.0
    return float(1 - masked_variance(returns_BT - values_BT, mask_BT) / variance)
