"""Attention of a CPU that trains in bf16 is float32's, rounded once."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from worker.training.model import attention

pytestmark = pytest.mark.slow  # loads transformers

MODULE = torch.nn.Module()


def inputs(tokens: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(2, 3, tokens, 16, generator=generator) for _ in range(3)]
    return [tensor.bfloat16().requires_grad_() for tensor in made]


def exact(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
    """In float32, then rounded; heads behind tokens, as transformers has them."""
    found = functional.scaled_dot_product_attention(query.float(), key.float(), value.float(), **options)
    return found.transpose(1, 2).bfloat16()


@pytest.mark.parametrize("autocast", [False, True])
def test_values_and_gradients_are_those_of_float32(autocast: bool) -> None:
    ours, theirs = inputs(20), inputs(20)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found, _ = attention.sdpa(MODULE, *ours, None, is_causal=True)
    wanted = exact(*theirs, is_causal=True)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, wanted)
    found.float().square().sum().backward()
    wanted.float().square().sum().backward()
    assert all(torch.equal(one.grad, other.grad) for one, other in zip(ours, theirs, strict=True))


def test_an_additive_mask_is_taken_along() -> None:
    mask_11TT = torch.zeros(1, 1, 6, 6).masked_fill(torch.ones(6, 6).triu(1).bool(), torch.finfo(torch.bfloat16).min)
    found, _ = attention.sdpa(MODULE, *inputs(6), mask_11TT.bfloat16())
    assert torch.equal(found, exact(*inputs(6), attn_mask=mask_11TT))


def test_a_decode_step_stays_in_bf16() -> None:
    query, key, value = inputs(6)
    found, _ = attention.sdpa(MODULE, query[:, :, -1:], key, value, None, is_causal=False)
    wanted = functional.scaled_dot_product_attention(query[:, :, -1:], key, value)
    assert torch.equal(found, wanted.transpose(1, 2))
