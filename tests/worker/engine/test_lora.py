"""A mixed batch equals, row by row, what plain arithmetic gives for that row's adapter alone."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from fettle.registry.adapter_config import NAME as CONFIG
from fettle.registry.adapter_weights import NAME as WEIGHTS
from fettle.registry.adapter_weights import PREFIX, A, B
from worker.engine import adapters
from worker.engine.lora import MixedLinear, Routing, plan, stacked

pytestmark = pytest.mark.slow  # loads transformers

D, OUT = 6, 5
RANKS = {"a": 1, "b": 4, "c": 2}


def layers(seed: int = 0) -> tuple[nn.Linear, dict[str, dict[str, tuple[torch.Tensor, torch.Tensor]]]]:
    torch.manual_seed(seed)
    loras = {slot: {"up": (torch.randn(D, rank), torch.randn(rank, OUT))} for slot, rank in RANKS.items()}
    return nn.Linear(D, OUT), loras


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=9), st.integers(1, 3))
@examples(max_examples=60, deadline=None)
def test_every_row_gets_its_own_adapter_whatever_the_mixture(slots: list[str | None], tokens: int) -> None:
    linear, loras = layers()
    routing = Routing(plan(slots, loras, None))
    x_BTD = torch.randn(len(slots), tokens, D)
    with torch.inference_mode():
        y_BTO = MixedLinear(linear, "up", routing)(x_BTD)
        for row, slot in enumerate(slots):
            alone_TO = linear(x_BTD[row])
            if slot is not None:
                A_DR, B_RO = loras[slot]["up"]
                alone_TO = alone_TO + x_BTD[row] @ A_DR @ B_RO
            assert torch.allclose(y_BTO[row], alone_TO, atol=1e-5)


def test_two_numbers_by_hand() -> None:
    linear = nn.Linear(2, 1, bias=False)
    linear.weight.data = torch.tensor([[1.0, 10.0]])
    loras = {"a": {"up": (torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0]]))}}
    x_BTD = torch.tensor([[[4.0, 5.0]], [[4.0, 5.0]]])
    with torch.inference_mode():
        y_BTO = MixedLinear(linear, "up", Routing(plan(["a", None], loras, None)))(x_BTD)
    # base: 4·1 + 5·10 = 54; adapter: (4·1 + 5·2)·3 = 42
    assert y_BTO[:, 0, 0].tolist() == [96.0, 54.0]


def test_an_adapter_of_nothing_but_nan_leaves_the_other_rows_as_they_are_to_the_bit() -> None:
    linear, loras = layers()
    slots = ["a", "b", None, "c", "b"]
    x_BTD = torch.randn(len(slots), 1, D)
    with torch.inference_mode():
        sound = MixedLinear(linear, "up", Routing(plan(slots, loras, None)))(x_BTD)
        loras["b"] = {"up": tuple(tensor * torch.nan for tensor in loras["b"]["up"])}  # type: ignore[dict-item]
        beside = MixedLinear(linear, "up", Routing(plan(slots, loras, None)))(x_BTD)
    for row, slot in enumerate(slots):
        assert beside[row].isnan().all() if slot == "b" else torch.equal(beside[row], sound[row])


def test_a_layer_that_one_adapter_leaves_alone_is_the_base_for_it() -> None:
    linear, loras = layers()
    loras["a"] = {"down": loras["a"]["up"]}
    x_BTD = torch.randn(2, 1, D)
    with torch.inference_mode():
        y_BTO = MixedLinear(linear, "up", Routing(plan(["a", "b"], loras, None)))(x_BTD)
        assert torch.allclose(y_BTO[0], linear(x_BTD[0]))
        assert not torch.allclose(y_BTO[1], linear(x_BTD[1]))


def test_stacked_weights_are_used_again_while_the_adapters_stay_the_same() -> None:
    _, loras = layers()
    first = plan(["a", "b"], loras, None)
    assert first is not None
    again = plan(["b", "a", "a", None], loras, first)
    assert again is not None
    assert again.stacks is first.stacks
    other = plan(["a", "c"], loras, first)
    assert other is not None
    assert other.stacks is not first.stacks
    assert plan([None, None], loras, first) is None


def test_a_slot_that_nobody_sits_in_is_an_error_and_not_the_base() -> None:
    _, loras = layers()
    with pytest.raises(KeyError, match="nobody"):
        plan(["a", "nobody"], loras, None)


def test_smaller_ranks_are_filled_up_with_zeros() -> None:
    _, loras = layers()
    A_GDR, B_GRO = stacked(loras).pairs["up"]
    assert (A_GDR.shape, B_GRO.shape) == ((3, D, 4), (3, 4, OUT))
    assert A_GDR[0, :, 1:].count_nonzero() == B_GRO[0, 1:].count_nonzero() == 0


@pytest.mark.parametrize(("rslora", "scaling"), [(False, 12 / 4), (True, 12 / 2)])
def test_alpha_is_divided_by_the_rank_or_by_its_root(rslora: bool, scaling: float, tmp_path: Path) -> None:
    A_RD, B_OR = torch.randn(4, D), torch.randn(OUT, 4)
    save_file(
        {
            PREFIX + "up" + A: A_RD,
            PREFIX + "up" + B: B_OR,
        },
        tmp_path / WEIGHTS,
    )
    (tmp_path / CONFIG).write_text(json.dumps({"r": 4, "lora_alpha": 12, "use_rslora": rslora}))
    pairs = adapters.read(tmp_path, {"up": (OUT, D)}, D, torch.device("cpu"), torch.float32).lora
    A_DR, B_RO = pairs["up"]
    assert torch.allclose(A_DR @ B_RO, (scaling * B_OR @ A_RD).T, atol=1e-5)
