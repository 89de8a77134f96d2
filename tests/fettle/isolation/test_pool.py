"""Work in forks that the kernel ends: time, memory, and a pool that survives both."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from fettle.bounded_work import Exhausted, Overrun
from fettle.errors import InvalidRequest, TooLarge, Unavailable
from fettle.isolation.pool import Pool
from fettle.slots import Slots

SCHEMA = {"type": "function", "name": "x", "function": "json_schema"}


def judges(schema: object) -> dict[str, object]:
    grader = {**SCHEMA, "parameters": {"json_schema": schema}}
    return {"judges": {"grader": grader}, "within": [], "sources": True}


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[Pool]:
    made = Pool(2)
    yield made
    await made.close()


async def test_work_that_takes_too_long_is_ended(pool: Pool) -> None:
    began = time.monotonic()
    with pytest.raises(Overrun):  # to read its JSON alone takes longer
        await pool.run("check_graders", "p", judges({"allOf": [{}] * 50_000}), seconds=0.002)
    assert time.monotonic() - began < 120


async def test_work_that_takes_too_much_memory_is_ended(pool: Pool) -> None:
    body = b'{"x": [' + b"[]," * 1_000_000 + b"1]}"
    with pytest.raises((Exhausted, Overrun)):  # some libraries crash without memory, some try for ever
        await pool.run("check_body", "p", None, body, memory=8 << 20, seconds=1)


async def test_a_refusal_comes_back_as_it_was_raised(pool: Pool) -> None:
    with pytest.raises(TooLarge, match="20,000 JSON values"):
        await pool.run("check_body", "p", None, b'{"x": [' + b"[]," * 30_000 + b"1]}")
    with pytest.raises(InvalidRequest) as refused:
        await pool.run("check_body", "p", None, b'{"a": 1, "a": 2}')
    assert refused.value.param == "a"


async def test_libraries_of_some_work_are_loaded_while_nothing_is_asked_for(pool: Pool) -> None:
    await pool.start()
    assert pool.process is not None
    maps = Path(f"/proc/{pool.process.pid}/maps")
    for _ in range(1_200):  # two minutes
        if "/scipy/stats/" in maps.read_text():
            break
        await asyncio.sleep(0.1)
    else:
        pytest.fail("scipy, which results of comparisons need, was not loaded")
    await pool.run("check_body", "p", None, b"{}")


async def test_a_process_that_died_is_started_again(pool: Pool) -> None:
    await pool.run("check_body", "p", None, b"{}")
    assert pool.process is not None
    first = pool.process.pid
    os.kill(first, signal.SIGKILL)
    await asyncio.to_thread(pool.process.wait)
    await pool.run("check_body", "p", None, b"{}")
    assert pool.process is not None and pool.process.pid != first


async def test_a_process_that_does_not_start_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(Unavailable, match="did not start"):
        await Pool(1).run("check_body", "p", None, b"{}")


async def test_no_secret_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FETTLE_SECRET", "canary")
    own = Pool(1)
    await own.start()
    assert own.process is not None
    process = psutil.Process(own.process.pid)
    assert "canary" not in str(process.environ())
    await own.close()
    assert not process.is_running()


async def test_one_project_cannot_keep_the_others_waiting() -> None:
    slots, order = Slots(1), []

    async def work(project: str) -> None:
        async with slots.of(project):
            order.append(project)
            await asyncio.sleep(0.001)

    await asyncio.gather(*(work("greedy") for _ in range(5)), work("modest"))
    assert order.index("modest") <= 1
    assert slots.free == 1 and not slots.busy


async def test_who_waits_too_long_is_told_so_and_leaves_no_place() -> None:
    slots = Slots(1, wait_seconds=0.01)
    async with slots.of("a"):
        with pytest.raises(Unavailable):
            async with slots.of("b"):
                pass
    async with slots.of("b"):
        assert slots.free == 0
    assert slots.free == 1 and not slots.waiting
