"""Jobs of the method `reinforcement` whose rollouts call tools: what a request may say."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.api.tenants import Tenant, message, refusal
from tests.api.test_job_tools import ASKED, ROWS, base_with
from tests.bases import NO_TOOLS
from tests.conftest import Api

ADD: Any = {"name": "add", "description": "Adds.", "source": "def add(a, b):\n    return a + b\n"}
WHERE = "method.reinforcement"


def method(*tools: Any, **hyperparameters: Any) -> dict[str, Any]:
    asked = {"reward_functions": ["exact_match"], "tools": list(tools), "hyperparameters": hyperparameters}
    return {"type": "reinforcement", "reinforcement": asked}


async def prompts(tenant: Tenant, **row: Any) -> str:
    rows = [json.dumps({"messages": [ASKED], "answer": "4", **row}).encode()] * 12
    return str((await tenant.upload(b"\n".join(rows)))["id"])


async def test_a_job_shows_its_tools_and_its_turns(tenant: Tenant) -> None:
    file = await prompts(tenant)
    made = (await tenant.create(training_file=file, method=method(ADD))).json()["method"]["reinforcement"]
    assert made["tools"] == [ADD]
    assert made["hyperparameters"]["max_turns"] == 4
    plain = (await tenant.create(training_file=file, method=method(ADD, max_turns=9))).json()
    assert plain["method"]["reinforcement"]["hyperparameters"]["max_turns"] == 9


@pytest.mark.parametrize(
    ("tools", "param", "words"),
    [
        ([{**ADD, "source": "def other(): ..."}], f"{WHERE}.tools[0].source", "does not define `def add(…)`"),
        ([{**ADD, "source": "def add(:"}], f"{WHERE}.tools[0].source", "line 1 of the source is not valid Python"),
        ([ADD, ADD], f"{WHERE}.tools", "wo tools have the name 'add'"),
        ([{**ADD, "name": "a-b"}], f"{WHERE}.tools[0].name", "1 to 64 letters, digits or '_'"),
        ([{**ADD, "parameters": {"type": 7}}], f"{WHERE}.tools", "not a valid JSON schema"),
        ([], f"{WHERE}.tools", "1"),
        (
            [{**ADD, "name": f"add{n}", "source": f"def add{n}(): ...\n#" + "x" * 230_000} for n in range(5)],
            f"{WHERE}.tools",
            "but the limit is 1,048,576. Shorten them",
        ),
    ],
)
async def test_a_tool_that_cannot_be_called_is_refused(tenant: Tenant, tools: Any, param: str, words: str) -> None:
    answer = await tenant.create(training_file=await prompts(tenant), method=method(*tools))
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param, answer.text
    assert words in message(answer)


async def test_several_turns_need_tools(tenant: Tenant) -> None:
    asked: dict[str, Any] = {"reward_functions": ["exact_match"], "hyperparameters": {"max_turns": 3}}
    answer = await tenant.create(
        training_file=await prompts(tenant), method={"type": "reinforcement", "reinforcement": asked}
    )
    assert answer.status_code == 400 and "'max_turns' above 1 needs 'tools'" in message(answer)


async def test_rows_with_other_tools_are_refused(tenant: Tenant) -> None:
    file = await prompts(tenant, tools=ROWS["tools"]["tools"])
    answer = await tenant.create(training_file=file, method=method(ADD))
    assert answer.status_code == 400 and "Only those of the method can be called" in message(answer)


async def test_a_base_whose_calls_cannot_be_read_is_refused(
    api: Api, tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(api.app.state.models.entries, "plain", base_with(NO_TOOLS, tmp_path / "plain"))
    answer = await tenant.create(model="plain", training_file=await prompts(tenant), method=method(ADD))
    assert refusal(answer) == (400, "tools_unsupported", f"{WHERE}.tools")


async def test_neither_dry_runs_nor_pairs_are_made_of_several_turns(tenant: Tenant) -> None:
    file = await prompts(tenant)
    job = (await tenant.create(training_file=file, method=method(ADD))).json()
    answer = await tenant.http.get(f"/v1/fine_tuning/jobs/{job['id']}/rollouts/export?format=dpo")
    assert answer.status_code == 400 and "format=jsonl" in message(answer)
    body = {"model": "starter", "training_file": file, "method": method(ADD)}
    answer = await tenant.http.post("/v1/fine_tuning/dry_runs", json=body)
    assert answer.status_code == 400 and "calls no tools" in message(answer)
