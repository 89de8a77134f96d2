"""The base model and a fresh adapter in it."""

import pytest
import torch

from fettle.registry.catalog import STARTER
from worker.training.model import loading
from worker.training.model.device import DevicePlan

pytestmark = pytest.mark.slow  # torch and transformers take seconds to import


PLAN = DevicePlan("CPU", "fp32", "sdpa", gradient_checkpointing=False, on_gpu=False)
LORA = {"rank": 8, "alpha": 16, "dropout": 0.0, "use_rslora": False, "target_modules": "all-linear"}


def first_weights(seed: int) -> dict[str, torch.Tensor]:
    adapted = loading.with_lora(loading.base_model(STARTER, PLAN), LORA, seed)
    return {name: tensor.detach() for name, tensor in adapted.named_parameters() if tensor.requires_grad}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_the_adapters_first_weights_come_from_the_seed() -> None:
    assert equal(first_weights(7), first_weights(7))
    assert not equal(first_weights(7), first_weights(8))


def test_a_fresh_adapter_trains_two_matrices_per_linear_layer_and_changes_nothing_yet() -> None:
    weights = first_weights(7)
    assert len(weights) == 2 * 7 * 4  # A and B; q, k, v, o, gate, up, down; layers
    assert all(tensor.any() == ("lora_A" in name) for name, tensor in weights.items())


def test_the_base_has_the_precision_of_the_plan() -> None:
    """The starter is stored in bf16."""
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        plan = DevicePlan("CPU", precision, "sdpa", gradient_checkpointing=False, on_gpu=False)  # type: ignore[arg-type]
        assert {tensor.dtype for tensor in loading.base_model(STARTER, plan).parameters()} == {dtype}
