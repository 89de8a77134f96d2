"""While one client sends what is hard to check, the event loop answers the others."""

import asyncio
import json
import time

import pytest

from api.isolation import GRADER_SECONDS
from tests.api.tenants import Tenant, refusal

WORST = 1.5  # CPU seconds of one turn: another process cannot add to them; `python -m bench.loop_lag` measures finely
PAIRS = b",".join(b'{"k%d": 1, "k%d": 2}' % (n, n) for n in range(100_000))
SCHEMA = {"allOf": [{}] * 30_000}


async def longest_turn_during(work: "asyncio.Task[object]") -> float:
    worst = 0.0
    while not work.done():
        before = time.thread_time()
        await asyncio.sleep(0.01)
        worst = max(worst, time.thread_time() - before)
    return worst


@pytest.mark.parametrize(
    "body", [b'{"x": [%s]}' % PAIRS, b'{"x": [' + b"[]," * 900_000 + b"1]}"], ids=["keys", "lists"]
)
async def test_a_body_of_many_values_is_refused_elsewhere(tenant: Tenant, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    await tenant.http.post("/v1/completions", content=b'{"a": 1, "a": 2}', headers=headers)  # the pool has started
    asking = asyncio.create_task(tenant.http.post("/v1/completions", content=body, headers=headers))
    assert await longest_turn_during(asking) < WORST  # type: ignore[arg-type]
    assert refusal(asking.result())[:2] in [(413, "request_too_large"), (400, "too_complex")]


@pytest.mark.slow
async def test_an_import_of_20_000_votes_keeps_nobody_waiting(tenant: Tenant) -> None:
    made = (await tenant.http.post("/v1/comparisons", json={"name": "x", "models": [], "prompts": []})).json()
    rows = (
        {"prompt": f"prompt {item}", "ranked": ["a", "b"], "annotator": f"Ann {who}"}
        for item in range(20)
        for who in range(1000)
    )
    content = "\n".join(map(json.dumps, rows)).encode()
    at = f"/v1/comparisons/{made['id']}/import"
    sending = tenant.http.post(at, files={"file": ("votes.jsonl", content)}, data={"annotator": "Sim"}, timeout=300)
    asking = asyncio.create_task(sending)
    assert await longest_turn_during(asking) < WORST  # type: ignore[arg-type]
    assert (asking.result().status_code, asking.result().json()["votes"]) == (200, 20_000), asking.result().text


@pytest.mark.slow
async def test_a_schema_that_takes_too_long_is_refused_by_every_route(tenant: Tenant) -> None:
    grader = {"type": "function", "name": "x", "function": "json_schema", "parameters": {"json_schema": SCHEMA}}
    raw = json.dumps({"grader": grader})
    assert len(raw) < 300_000
    asking = asyncio.create_task(tenant.http.post("/v1/fine_tuning/alpha/graders/validate", json={"grader": grader}))
    assert await longest_turn_during(asking) < WORST  # type: ignore[arg-type]
    assert refusal(asking.result())[0] in (400, 413)
    assert GRADER_SECONDS <= 10
