"""The bundled base model is what its card says."""

import json

import pytest
from safetensors import safe_open

from fettle.datasets.formats.render import Renderer
from fettle.registry.catalog import BUILT_IN, STARTER


def test_it_is_small_and_its_catalog_entry_counts_its_weights() -> None:
    weights = STARTER / "model.safetensors"
    assert weights.stat().st_size <= 8 * 2**20
    with safe_open(weights, "np") as tensors:
        shapes = [tensors.get_slice(name).get_shape() for name in tensors.keys()]  # noqa: SIM118 — not a mapping
    parameters = sum(rows * (columns[0] if columns else 1) for rows, *columns in shapes)
    assert (
        parameters
        == BUILT_IN["starter"].parameters
        == json.loads((STARTER / "measured.json").read_text())["parameters"]
    )
    assert 1_500_000 <= parameters <= 3_000_000


def test_every_digit_is_a_token_and_any_text_comes_back() -> None:
    renderer = Renderer(STARTER)
    ids = renderer.tokenizer.encode("1234", add_special_tokens=False).ids
    assert [renderer.decode([token]) for token in ids] == ["1", "2", "3", "4"]
    for text in ("naïve 你好 🙂", "\t{}\\", "<answer>42</answer>"):
        assert renderer.decode(renderer.tokenizer.encode(text, add_special_tokens=False).ids) == text


@pytest.mark.slow
def test_it_blurts_by_itself_and_can_reason() -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from assets.starter.make import accuracy

    network = AutoModelForCausalLM.from_pretrained(STARTER).float()
    tokenizer = AutoTokenizer.from_pretrained(STARTER)
    blurted, reasoned = (accuracy(network, tokenizer, opening, 200) for opening in ("", "<think>"))
    assert blurted < 0.4
    assert reasoned > 0.95
