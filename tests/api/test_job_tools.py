"""A dataset with tools, on a base model whose chat template may not know any: the starter's knows none."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fettle.registry.catalog import STARTER, BaseModelEntry
from tests.api.tenants import Tenant, message, refusal
from tests.conftest import Api

CALL: Any = {"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
ASKED: Any = {"role": "user", "content": "2 + 2 ="}
ROWS: dict[str, Any] = {
    "tools": {
        "messages": [ASKED, {"role": "assistant", "content": "4"}],
        "tools": [{"type": "function", "function": {"name": "add"}}],
    },
    "tool_calls": {"messages": [ASKED, {"role": "assistant", "content": None, "tool_calls": [CALL]}]},
}


@pytest.mark.parametrize("need", ROWS)
@pytest.mark.parametrize("param", ["training_file", "validation_file"])
async def test_what_the_template_would_lose_is_refused_at_once(tenant: Tenant, need: str, param: str) -> None:
    file = await tenant.upload(b"\n".join([json.dumps(ROWS[need]).encode()] * 12), "calls.jsonl")
    assert file["validation"]["needs"] == [need]
    answer = await tenant.create(**{param: file["id"]})
    assert refusal(answer) == (400, "tools_unsupported", param)
    assert f"calls.jsonl have {need!r}" in message(answer) and "'starter'" in message(answer)


async def test_a_template_that_knows_them_takes_them(
    api: Api, tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    knowing = tmp_path / "knowing"
    shutil.copytree(STARTER, knowing)
    template = knowing / "chat_template.jinja"
    template.write_text("{% if tools %}{{ tools | tojson }}{% endif %}{# tool_calls #}" + template.read_text())
    entry = BaseModelEntry(path=knowing, parameters=1, length=2048)
    monkeypatch.setitem(api.app.state.models.entries, "knowing", entry)
    rows = [json.dumps(row).encode() for row in ROWS.values()] * 6
    file = await tenant.upload(b"\n".join(rows))
    assert file["validation"]["needs"] == ["tool_calls", "tools"]
    assert (await tenant.create(model="knowing", training_file=file["id"])).status_code == 200


async def test_a_template_that_is_elsewhere_is_the_trainings_to_judge(
    api: Api, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = BaseModelEntry(hub="acme/large", revision="0" * 40, parameters=1, length=2048)
    monkeypatch.setitem(api.app.state.models.entries, "acme/large", away)
    file = await tenant.upload(b"\n".join([json.dumps(ROWS["tools"]).encode()] * 12))
    assert (await tenant.create(model="acme/large", training_file=file["id"])).status_code == 200


async def test_a_prompt_and_completion_of_messages_may_have_calls_as_well(tenant: Tenant) -> None:
    turns = ROWS["tool_calls"]["messages"]
    row = json.dumps({"prompt": turns[:1], "completion": turns[1:]}).encode()
    file = await tenant.upload(b"\n".join([row] * 12))
    assert file["validation"]["needs"] == ["tool_calls"]
