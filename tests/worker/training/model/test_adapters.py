"""Kinds of adapters, from the spec to what the engine says with them."""

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from fettle.datasets.formats.render import Renderer
from fettle.registry.catalog import STARTER
from tests.worker.engine.test_networks import logits
from tests.worker.training.children import Child, rows, work_folder
from worker.engine.model_pool import read_base
from worker.engine.networks import Network

pytestmark = pytest.mark.slow


def logits_of(folder: Path, ids_BT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(the engine's, PEFT's, the base's) for the next token, V."""
    engine = Network(read_base("starter", STARTER, 2048))
    engine.attach("tuned", engine.read(folder))
    bare = AutoModelForCausalLM.from_pretrained(STARTER, dtype=torch.float32)
    with torch.inference_mode():
        served = logits(engine, "tuned", ids_BT)[0]
        base = bare(input_ids=ids_BT).logits[0, -1]
        oracle = PeftModel.from_pretrained(bare, str(folder)).eval()(input_ids=ids_BT).logits[0, -1]
    return served, oracle, base


def test_an_rslora_adapter_of_two_layers_is_trained_published_and_served(tmp_path: Path) -> None:
    lora = {"use_rslora": True, "target_modules": ["q_proj", "down_proj"]}
    child = Child(work_folder(tmp_path / "work", rows(16), lora=lora, n_epochs=3, learning_rate=1e-2))
    assert child.rest()[-1]["type"] == "done"
    adapter = child.folder / "out" / "adapter"
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert config["use_rslora"] is True
    assert set(config["target_modules"]) == {"q_proj", "down_proj"}
    prompt = Renderer(STARTER).prompt([{"role": "user", "content": rows(1)[0]["prompt"]}])
    served, oracle, base = logits_of(adapter, torch.tensor([prompt]))
    assert torch.allclose(served, oracle, atol=1e-4)
    assert (oracle - base).abs().max() > 1e-2


def test_a_layer_that_the_base_has_not_ends_the_job_with_those_it_has(tmp_path: Path) -> None:
    """For a base that was not on the machine when the job was created."""
    child = Child(work_folder(tmp_path / "work", rows(8), lora={"target_modules": ["q_proj", "query"]}))
    error = child.rest()[-1]
    assert (error["type"], error["code"], error["param"]) == ("error", "unknown_target_modules", "lora.target_modules")
    assert "no linear layer 'query'; choose from: down_proj, gate_proj, k_proj" in error["message"]
