import pytest
import torch
from torch.nn import functional

from worker.engine.lora import MixedLinear, Routing

# One sum of 64 products, each rounded once to the type's mantissa: |error| stays far below these for values around 1
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 0.05}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", [(1, 1, 64), (3, 1, 64), (2, 40, 64)])
@pytest.mark.parametrize("bias", [False, True])
def test_a_packed_layer_computes_what_the_plain_one_does(
    dtype: torch.dtype, shape: tuple[int, ...], bias: bool
) -> None:
    torch.manual_seed(0)
    linear = torch.nn.Linear(64, 96, bias=bias).to(dtype)
    x_BTD = torch.randn(shape, dtype=dtype)
    layer = MixedLinear(linear, "layer", Routing())
    with torch.inference_mode():
        right = functional.linear(x_BTD, linear.weight, linear.bias)
        layer.pack()
        assert torch.allclose(layer(x_BTD), right, atol=TOLERANCE[dtype])


def test_memory_holds_a_packed_weight_once() -> None:
    layer = MixedLinear(torch.nn.Linear(64, 96), "layer", Routing())
    layer.pack()
    assert layer.packed is not None
    assert layer.weight.is_meta


def test_a_torch_without_the_operator_keeps_the_plain_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    layer = MixedLinear(torch.nn.Linear(64, 96), "layer", Routing())
    layer.pack()
    assert layer.packed is None
    assert layer(torch.ones(1, 1, 64)).shape == (1, 1, 96)
