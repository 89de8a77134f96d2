"""Families are recognised by their config, and a family is called tested only where its real template was rendered."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from fettle.datasets.formats.render import Renderer
from fettle.registry import families
from fettle.registry.families import FAMILIES, Family
from tests import bases

TEMPLATES = Path(str(find_spec("trl").origin)).parent / "chat_templates"  # type: ignore[union-attr]
PAGE = Path(__file__).parents[3] / "docs" / "base-models.md"
TESTED = [family for family in FAMILIES if family.template]

USER, REPLY = {"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}
CONVERSATIONS: list[list[dict[str, Any]]] = [
    [USER, REPLY],
    [USER, REPLY, {"role": "user", "content": "Sure?\n "}, {"role": "assistant", "content": "Yes."}],
    [USER, {"role": "assistant", "content": "<think>\nAdd.\n</think>\n\n4"}],
]


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"model_type": "qwen2"}, "Qwen2.5"),
        ({"model_type": "qwen3"}, "Qwen3"),
        ({"model_type": "llama", "vocab_size": 128_256}, "Llama 3"),
        ({"model_type": "llama", "vocab_size": 49_152}, "SmolLM2"),
        ({"model_type": "llama", "vocab_size": 32_000}, None),
        ({"model_type": "smollm3"}, "SmolLM3"),
        ({"model_type": "gemma3_text"}, "Gemma 3"),
        ({"model_type": "mistral"}, "Mistral"),
        ({"model_type": "gpt_oss"}, "gpt-oss"),
        ({"model_type": "phi3", "vocab_size": 100_352}, "Phi 4"),
        ({"model_type": "phi3", "vocab_size": 32_064}, "Phi 3"),
        ({"model_type": "granite"}, "Granite"),
        ({"model_type": "olmo2"}, "OLMo"),
        ({}, None),
    ],
)
def test_a_family_is_recognised_by_its_config(config: dict[str, Any], name: str | None) -> None:
    found = families.find(config)
    assert (found.name if found else None) == name


@pytest.mark.parametrize("family", TESTED, ids=lambda family: family.name)
def test_its_real_template_is_rendered_as_transformers_renders_it(family: Family, tmp_path: Path) -> None:
    folder = bases.copy(tmp_path / "base")
    text = (TEMPLATES / f"{family.template}.jinja").read_text()
    (folder / "chat_template.jinja").write_text(text)
    renderer = Renderer(folder)
    for messages in CONVERSATIONS:
        for opening in (False, True):
            prompt = messages[:-1] if opening else messages
            (theirs,), _ = render_jinja_template(
                conversations=[prompt], chat_template=text, add_generation_prompt=opening, **renderer.special
            )
            assert renderer.text(prompt, opening=opening) == theirs


def test_the_page_lists_every_family_and_calls_no_other_tested() -> None:
    listed = re.findall(r"^\| ([\w. -]+) \| (tested|not run) \|", PAGE.read_text(), re.MULTILINE)
    assert listed == [(family.name, "tested" if family.template else "not run") for family in FAMILIES]
