"""PPO's two losses, token by token, and what tells how far a minibatch moved the policy."""

import torch
from torch import Tensor


def surrogate(logprobs_BT: Tensor, old_logprobs_BT: Tensor, advantages_BT: Tensor, clip: float) -> Tensor:
    """loss_BT = −min(ratio · A, clip(ratio, 1 − ε, 1 + ε) · A) (Schulman et al. 2017, equation 7).

    ratio = π / π_old at the sampled tokens. Its gradient is zero where the ratio has left the clip range in the
    direction that the advantage asks for.
    """
    ratio_BT = (logprobs_BT - old_logprobs_BT).exp()
    clipped_BT = ratio_BT.clamp(1 - clip, 1 + clip)
    return torch.maximum(-advantages_BT * ratio_BT, -advantages_BT * clipped_BT)


def value_loss(values_BT: Tensor, old_values_BT: Tensor, returns_BT: Tensor, clip: float) -> Tensor:
    """loss_BT = ½ max((V − R)², (clip(V, V_old ± ε) − R)²) (Huang et al. 2024, "value function loss clipping")."""
    clipped_BT = torch.minimum(torch.maximum(values_BT, old_values_BT - clip), old_values_BT + clip)
    return 0.5 * torch.maximum((values_BT - returns_BT) ** 2, (clipped_BT - returns_BT) ** 2)


def clipped(logprobs_BT: Tensor, old_logprobs_BT: Tensor, clip: float) -> Tensor:
    """1.0 at the tokens whose ratio lies outside 1 ± ε, else 0.0; its mean is the clip fraction."""
    ratio_BT = (logprobs_BT - old_logprobs_BT).exp()
    return ((ratio_BT - 1).abs() > clip).float()
