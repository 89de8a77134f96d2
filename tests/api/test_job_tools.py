"""A dataset with tools, on base models whose chat templates know tools, know none, or write calls of an unread form."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fettle.registry.catalog import STARTER, BaseModelEntry
from tests.api.tenants import Tenant, message, refusal
from tests.bases import NO_TOOLS
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


UNREAD = "{% if tools %}{{ tools }}{% endif %}{# tool_calls: <tool_call><function=f> #}" + NO_TOOLS


def base_with(template: str, folder: Path, **fields: Any) -> BaseModelEntry:
    shutil.copytree(STARTER, folder)
    (folder / "chat_template.jinja").write_text(template)
    return BaseModelEntry(path=folder, parameters=1, length=2048, **fields)


@pytest.mark.parametrize("need", ROWS)
@pytest.mark.parametrize("param", ["training_file", "validation_file"])
async def test_what_the_template_would_lose_is_refused_at_once(
    api: Api, tenant: Tenant, need: str, param: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(api.app.state.models.entries, "plain", base_with(NO_TOOLS, tmp_path / "plain"))
    file = await tenant.upload(b"\n".join([json.dumps(ROWS[need]).encode()] * 12), "calls.jsonl")
    assert file["validation"]["needs"] == [need]
    answer = await tenant.create(**{"model": "plain", param: file["id"]})
    assert refusal(answer) == (400, "tools_unsupported", param)
    assert f"calls.jsonl have {need!r}" in message(answer) and "'plain'" in message(answer)


async def test_the_starter_takes_them(tenant: Tenant) -> None:
    rows = [json.dumps(row).encode() for row in ROWS.values()] * 6
    file = await tenant.upload(b"\n".join(rows))
    assert file["validation"]["needs"] == ["tool_calls", "tools"]
    assert (await tenant.create(training_file=file["id"])).status_code == 200


async def test_calls_that_no_engine_would_read_are_refused_unless_the_catalog_says_that_one_does(
    api: Api, tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = {
        "unread": base_with(UNREAD, tmp_path / "unread"),
        "read": base_with(UNREAD, tmp_path / "read", engine_reads_tools=True),
    }
    for name, entry in entries.items():
        monkeypatch.setitem(api.app.state.models.entries, name, entry)
    file = await tenant.upload(b"\n".join([json.dumps(ROWS["tool_calls"]).encode()] * 12), "calls.jsonl")
    answer = await tenant.create(model="unread", training_file=file["id"])
    assert refusal(answer) == (400, "tools_unsupported", "training_file")
    assert "could not be served with tools" in message(answer)
    assert (await tenant.create(model="read", training_file=file["id"])).status_code == 200


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
