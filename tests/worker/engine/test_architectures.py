"""Greedy tokens equal transformers' `generate` for other architectures too: tiny ones, with random weights."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForSequenceClassification

from fettle.errors import Unavailable
from fettle.registry.catalog import STARTER
from tests.worker.engine.conftest import QUESTIONS, greedy, user
from worker.engine.adapters import Weights
from worker.engine.model_pool import read_base
from worker.engine.networks import Network, refuse_foreign_layers
from worker.engine.requests import Base, Piece, Request, Sampling
from worker.engine.scheduler import BaseScheduler

pytestmark = pytest.mark.slow  # loads transformers

SMALL = {
    "vocab_size": 492,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "eos_token_id": 2,
    "bos_token_id": None,
    "pad_token_id": 0,
    "initializer_range": 0.2,
}
SHAPES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "mistral": {"sliding_window": 16},  # every layer looks back 16 tokens
    "phi3": {},
    "gemma2": {"sliding_window": 16, "query_pre_attn_scalar": 16},  # every other layer does; capped logits
    "gemma3_text": {"sliding_window": 16, "query_pre_attn_scalar": 16},
    "granite": {"logits_scaling": 2.0},
    "olmo2": {},
}


def folder_of(architecture: str, path: Path, **fields: Any) -> Path:
    shutil.copytree(STARTER, path, ignore=shutil.ignore_patterns("*.safetensors", "*.py", "*.json", "__pycache__"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(STARTER / name, path)
    torch.manual_seed(1)
    config = CONFIG_MAPPING[architecture](**SMALL | fields)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("architecture", SHAPES)
async def test_a_padded_batch_says_what_each_row_says_alone(architecture: str, tmp_path: Path) -> None:
    base = read_base(architecture, folder_of(architecture, tmp_path / "base", **SHAPES[architecture]), 512)
    oracle = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32).eval()
    scheduler = BaseScheduler(Network(base))
    requests = [request(base, question) for question in QUESTIONS]
    scheduler.admit(requests[:2])
    said: dict[Request, list[int]] = {one: [] for one in requests}
    for step in range(200):
        if step == 4:
            scheduler.admit(requests[2:])
        for one, item in [*scheduler.leave(), *scheduler.advance()]:
            assert isinstance(item, Piece)
            said[one] += [detail.token for detail in item.logprobs]
    assert scheduler.idle
    for one in requests:
        assert said[one] == [token for token in greedy(oracle, one.prompt, 40) if token not in base.ends]


@pytest.mark.parametrize("architecture", sorted(SHAPES.keys() - {"granite"}))  # transformers cannot classify by it
def test_a_padded_batch_is_scored_as_the_sequence_classifier_scores_each_alone(
    architecture: str, tmp_path: Path
) -> None:
    base = read_base(architecture, folder_of(architecture, tmp_path / "base", **SHAPES[architecture]), 512)
    oracle = AutoModelForSequenceClassification.from_pretrained(base.folder, num_labels=1, dtype=torch.float32).eval()
    network = Network(base)
    network.attach("judge", Weights({}, oracle.score.weight[0].detach()))
    prompts = [base.renderer.prompt(user(question)) for question in QUESTIONS]
    with torch.inference_mode():
        right = [float(oracle(input_ids=torch.tensor([ids])).logits) for ids in prompts]
    assert network.scores("judge", prompts) == pytest.approx(right, abs=1e-3)


def request(base: Base, question: str) -> Request:
    return Request(base, None, base.renderer.prompt(user(question)), Sampling(1, 0.0, 1.0, None, 40, (), logprobs=0))


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"layer_types": ["full_attention", "linear_attention"]}, "linear_attention"),
        ({"attention_chunk_size": 64}, "chunked_attention"),
        ({}, "recurrent"),
    ],
)
def test_a_base_that_keeps_something_else_than_keys_and_values_is_refused(
    fields: dict[str, Any], kind: str, base: Base
) -> None:
    config = SimpleNamespace(**fields)
    config.get_text_config = lambda: config
    network: Any = SimpleNamespace(config=config, _is_stateful=kind == "recurrent")
    with pytest.raises(Unavailable, match=f"'starter' has layers of the kind '{kind}'"):
        refuse_foreign_layers(base, network)
