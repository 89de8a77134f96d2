"""Which matrices must move, on the smallest LoRA layer that there is: y = B·A·x, with B = 0 at first."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from worker.training.movement import Watch


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lora_A = nn.Parameter(torch.full((1, 2), 0.5))
        self.lora_B = nn.Parameter(torch.zeros(2, 1))

    def forward(self, x_N2: Tensor) -> Tensor:
        return x_N2 @ self.lora_A.T @ self.lora_B.T


def steps(layer: Layer, number: int, *, rate: float = 0.1, scale: float = 1.0, watch: Watch | None = None) -> Watch:
    """scale 0: the loss depends on nothing."""
    watch = watch or Watch(layer)
    optimizer = torch.optim.SGD(layer.parameters(), lr=rate)
    watch.follow(optimizer)
    for _ in range(number):
        optimizer.zero_grad()
        (scale * (layer(torch.ones(1, 2)) - 1).square().sum()).backward()
        optimizer.step()
    return watch


def found(watch: Watch) -> dict[str, Any]:
    return watch.found(watch.counts())


def test_after_one_step_b_has_moved_and_a_need_not() -> None:
    """dL/dA = 2·Bᵀ(y − 1)·xᵀ = 0 while B = 0; dL/dB = 2·(y − 1)·(A·x)ᵀ = −2 in both rows."""
    seen = found(steps(Layer(), 1))
    assert (seen["moved"], seen["optimizer_steps"], seen["steps_with_gradient"]) == (1, 1, 1)
    assert seen["not_moved"]["matrices"] == seen["without_gradient"]["matrices"] == 0
    assert seen["largest_gradient"] == pytest.approx(8**0.5)


def test_after_two_steps_both_have_moved() -> None:
    seen = found(steps(Layer(), 2))
    assert (seen["matrices"], seen["moved"]) == (2, 2)


def test_a_matrix_that_is_put_back_after_each_step_is_named() -> None:
    layer = Layer()
    watch = steps(layer, 2)
    with torch.no_grad():
        layer.lora_A.fill_(0.5)
    assert found(watch)["not_moved"] == {"matrices": 1, "first": ["lora_A"]}


def test_an_a_that_is_cut_off_from_the_loss_is_named_from_the_second_step_on() -> None:
    layer = Layer()
    layer.lora_A.register_hook(torch.zeros_like)
    assert found(steps(layer, 1))["without_gradient"]["matrices"] == 0
    layer = Layer()
    layer.lora_A.register_hook(torch.zeros_like)
    assert found(steps(layer, 2))["without_gradient"] == {"matrices": 1, "first": ["lora_A"]}


@pytest.mark.parametrize("nothing", [{"scale": 0.0}, {"rate": 0.0}])
def test_without_a_gradient_or_a_rate_no_step_teaches(nothing: dict[str, float]) -> None:
    seen = found(steps(Layer(), 3, **nothing))  # type: ignore[arg-type]
    assert (seen["optimizer_steps"], seen["steps_with_gradient"], seen["moved"]) == (3, 0, 0)


def test_a_resumed_run_counts_on() -> None:
    layer = Layer()
    first = steps(layer, 1)
    again = Layer()  # a resumed run begins with the fresh weights, and then loads those of its checkpoint
    watch = Watch(again)
    watch.restore(first.counts().to_json())
    again.load_state_dict(layer.state_dict())
    seen = found(steps(again, 1, watch=watch))
    whole = found(steps(Layer(), 2))
    assert seen == whole


def test_what_is_not_finite_is_counted() -> None:
    layer = Layer()
    watch = steps(layer, 1)
    with torch.no_grad():
        layer.lora_B[0] = torch.nan
    assert found(watch)["not_finite"] == {"matrices": 1, "first": ["lora_B"]}
