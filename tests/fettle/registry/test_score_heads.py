"""The list of model types without a score head against the transformers that is installed."""

import re
from pathlib import Path

import pytest
import transformers
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import model_type_to_module_name

from fettle.registry import score_heads

pytestmark = pytest.mark.slow  # loads transformers

CAUSAL = modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
SCORING = modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
SOURCES = Path(transformers.__file__).parent / "models"


def source_of(kind: str) -> str:
    """Of the class with the head; GPT-SW3 is a tokenizer, and its networks are GPT-2's."""
    folder = SOURCES / model_type_to_module_name({"gpt-sw3": "gpt2"}.get(kind, kind))
    code = "".join(file.read_text() for file in folder.glob("modeling_*.py"))
    found = re.search(rf"class {SCORING[kind]}\(.*?(?=\nclass |\Z)", code, re.DOTALL)
    assert found, kind
    return found[0]


def test_every_type_without_a_score_head_is_listed() -> None:
    heads = ("GenericForSequenceClassification", "self.score =")
    able = {kind for kind in CAUSAL if kind in SCORING and any(head in source_of(kind) for head in heads)}
    assert {"llama", "qwen2", "qwen3", "gpt2", "gemma3_text", "mistral"} <= able
    assert set(CAUSAL) - able == score_heads.WITHOUT


def test_the_sentence_names_the_base_its_type_and_the_way_out() -> None:
    assert score_heads.flaw("house", {"model_type": "qwen3"}) is None
    sentence = score_heads.flaw("house", {"model_type": "granite"})
    assert sentence is not None
    assert all(part in sentence for part in ("'house'", "'granite'", "'dpo'", "another base model"))
