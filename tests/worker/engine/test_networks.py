import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers.cache_utils import Cache, DynamicLayer

from fettle.registry.adapter_config import NAME as CONFIG
from fettle.registry.adapter_weights import NAME as WEIGHTS
from tests.worker.engine.conftest import QUESTION, user
from worker.engine.errors import AdapterRejected
from worker.engine.model_pool import read_base
from worker.engine.networks import Network
from worker.engine.requests import Base

pytestmark = pytest.mark.slow  # loads transformers

Oracles = dict[str | None, PeftModel]


@pytest.fixture(scope="module")
def bare(base: Base) -> Network:
    """A network without an adapter."""
    return Network(base)


@pytest.fixture
def ids_BT(base: Base) -> torch.Tensor:
    return torch.tensor([base.renderer.prompt(user(QUESTION))])


def logits(network: Network, slot: str | None, ids_BT: torch.Tensor) -> torch.Tensor:
    columns = torch.arange(ids_BT.shape[1])
    causal = columns <= columns[:, None]
    cache = Cache(layer_class_to_replicate=DynamicLayer)
    with torch.inference_mode():
        return network.logits(network.plan([slot]), ids_BT, columns[None], causal[None, None], cache)


def expected(oracles: Oracles, name: str | None, ids_BT: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return oracles[name](input_ids=ids_BT).logits[:, -1]


def test_the_end_tokens_are_those_of_the_tokenizer_and_of_the_generation_config(base: Base, tmp_path: Path) -> None:
    also = json.loads((base.folder / "generation_config.json").read_text())["eos_token_id"]
    assert base.ends == {base.renderer.eos_id, also}
    folder = shutil.copytree(base.folder, tmp_path / "base")
    (folder / "generation_config.json").write_text('{"eos_token_id": [5, 6]}')
    assert read_base("other", folder, 10).ends == {base.renderer.eos_id, 5, 6}


def test_every_tenant_hears_its_own_adapter_while_others_come_and_go(
    bare: Network, oracles: Oracles, folders: dict[str, Path], ids_BT: torch.Tensor
) -> None:
    right = {name: expected(oracles, name, ids_BT) for name in (None, "one", "two")}
    assert (right[None] - right["one"]).abs().max() > 0.1
    assert (right["two"] - right["one"]).abs().max() > 0.1

    def check(*slots: str | None) -> None:
        for slot in slots:
            assert torch.allclose(logits(bare, slot, ids_BT), right[slot], atol=1e-4), slot

    check(None)
    bare.attach("one", bare.read(folders["one"]))
    check(None, "one", None)
    check("one")
    bare.attach("two", bare.read(folders["two"]))
    check("one", "two", None, "two")
    bare.detach("two")
    with pytest.raises(KeyError, match="two"):
        logits(bare, "two", ids_BT)
    check(None, "one")
    bare.detach("one")  # the last one
    check(None)
    bare.attach("two", bare.read(folders["two"]))
    check(None, "two")
    bare.detach("two")
    bare.detach("two")
    check(None)


def test_in_bf16_the_same_is_said_with_less_precision(
    base: Base, oracles: Oracles, folders: dict[str, Path], ids_BT: torch.Tensor
) -> None:
    """A bf16 value has 8 bits of mantissa: its rounding is at most 2^-9 of it. Each of 4 layers adds about a dozen of
    these to the stream, and the logits are one more product: 50 roundings, at the most 0.1 of the largest."""
    network = Network(base, cpu_bf16=True)
    assert network.dtype == torch.bfloat16
    for name in ("one", "two"):
        network.attach(name, network.read(folders[name]))
    for name in (None, "one", "two"):
        right = expected(oracles, name, ids_BT)
        found = logits(network, name, ids_BT)
        assert found.dtype == torch.float32
        assert (found - right).abs().max() < 0.1 * right.abs().max(), name
        assert found.argmax(-1) == right.argmax(-1), name


def test_a_slot_that_never_was_is_an_error_and_not_the_base(base: Base, ids_BT: torch.Tensor) -> None:
    with pytest.raises(KeyError, match="nobody"):
        logits(Network(base), "nobody", ids_BT)


def with_config(folder: Path, **fields: Any) -> None:
    file = folder / CONFIG
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def with_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS)


FIRST_A = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
DEFECTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "DoRA": (lambda folder: with_config(folder, use_dora=True), "'use_dora' to true"),
    "ranks by module": (lambda folder: with_config(folder, rank_pattern={"q_proj": 4}), "rank_pattern"),
    "another method": (lambda folder: with_config(folder, peft_type="IA3"), "'peft_type' to 'IA3'"),
    "whole layers": (lambda folder: with_config(folder, modules_to_save=["lm_head"]), "modules_to_save"),
    "PiSSA": (lambda folder: with_config(folder, init_lora_weights="pissa"), "'pissa'"),
    "another rank": (lambda folder: with_config(folder, r=4), "has the shape"),
    "no rank": (lambda folder: with_config(folder, r=0), "'r' is 0"),
    "a config that is no JSON": (lambda folder: (folder / CONFIG).write_text("{"), "not a LoRA configuration"),
    "a pickle": (lambda folder: (folder / WEIGHTS).write_bytes(b"\x80\x04K\x01."), "not a safetensors file"),
    "a missing tensor": (lambda folder: with_weights(folder, lambda w: w.pop(FIRST_A)), f"incomplete: '{FIRST_A}'"),
    "a foreign tensor": (
        lambda folder: with_weights(folder, lambda w: w.update({"lm_head.weight": torch.zeros(2)})),
        "no linear layer for 'lm_head.weight'",
    ),
    "NaN": (lambda folder: with_weights(folder, lambda w: w[FIRST_A].fill_(torch.nan)), "training diverged"),
    "no file": (lambda folder: (folder / WEIGHTS).unlink(), "not a safetensors file"),
    "no tensor": (lambda folder: with_weights(folder, lambda w: w.clear()), "contains no tensors"),
}  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS)
def test_an_adapter_that_cannot_be_served_is_refused_and_harms_nobody(
    defect: str, network: Network, oracles: Oracles, folders: dict[str, Path], ids_BT: torch.Tensor, tmp_path: Path
) -> None:
    break_it, why = DEFECTS[defect]
    folder = tmp_path / "adapter"
    shutil.copytree(folders["one"], folder)
    break_it(folder)
    with pytest.raises(AdapterRejected, match=why):
        network.attach("bad", network.read(folder))
    with pytest.raises(KeyError):
        logits(network, "bad", ids_BT)
    for slot in (None, "one"):
        assert torch.allclose(logits(network, slot, ids_BT), expected(oracles, slot, ids_BT), atol=1e-4)
