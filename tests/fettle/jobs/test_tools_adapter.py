"""When a job begins with its base model's adapter for tools."""

from typing import Any

import pytest

from fettle import methods
from fettle.jobs import tools_adapter
from fettle.registry.catalog import BUILT_IN
from models import File

STARTER = BUILT_IN["starter"]
TOOL = {"name": "add", "source": "def add(a, b): ..."}


def method(type: str, **given: Any) -> methods.Method:
    return methods.METHODS[type].request.model_validate({"type": type, type: given})


def file(*needs: str) -> File:
    return File(report={"needs": list(needs)})


@pytest.mark.parametrize(
    ("asked", "needs", "begins"),
    [
        (method("supervised"), ["tools", "tool_calls"], True),
        (method("dpo"), ["tool_calls"], True),
        (method("supervised"), [], False),
        (method("supervised", hyperparameters={"lora": {"rank": 16}}), ["tools"], True),
        (method("supervised", hyperparameters={"lora": {"rank": 8}}), ["tools"], False),
        (method("reward_model"), ["tools"], False),
        (method("reinforcement", reward_functions=["exact_match"], tools=[TOOL]), [], True),
        (method("reinforcement", reward_functions=["exact_match"]), [], False),
    ],
)
def test_with_tools_and_no_other_form_of_lora(asked: methods.Method, needs: list[str], begins: bool) -> None:
    lora = tools_adapter.lora(STARTER, asked, file(*needs))
    assert (lora is not None) == begins
    assert lora is None or (lora["rank"], lora["use_rslora"]) == (16, False)


def test_a_base_without_one_begins_afresh() -> None:
    plain = STARTER.model_copy(update={"tools_adapter": None})
    assert tools_adapter.lora(plain, method("supervised"), file("tools")) is None
