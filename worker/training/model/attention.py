"""Attention in float32 where a CPU trains in bf16.

torch's fused kernel has a slow backward pass for bf16 on a CPU: 25 ms where float32 takes 9 (4 rows of 150 tokens, 9
heads of 64, one thread of a Xeon with AMX), a fifth of a training step. A decode step, with one token a row, reads its
cache as it is.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward


def use_float32_on_cpus() -> None:
    """Puts it in the place of transformers' `sdpa`, for this process."""
    AttentionInterface.register("sdpa", sdpa)


def sdpa(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """query, key, value: B, heads, T, width."""
    if query.device.type != "cpu" or query.dtype != torch.bfloat16 or query.shape[2] == 1:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    if attention_mask is not None and attention_mask.is_floating_point():
        attention_mask = attention_mask.float()
    with torch.autocast("cpu", enabled=False):  # it would take them back to bf16
        found, _ = sdpa_attention_forward(module, query.float(), key.float(), value.float(), attention_mask, **options)
    return found.to(query.dtype), None
