"""Batches are answered through an engine that goes away or refuses, by workers that die."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from fettle.batches import store
from fettle.cli.up import free_port
from fettle.datasets import files
from fettle.errors import Fenced
from fettle.settings import Settings
from fettle.storage import deletions
from fettle.tenancy import projects
from models import Batch, BatchAnswer, BatchStatus, File
from tests.api.served import served
from tests.api.tenants import request
from worker.attempts.resources import Resources
from worker.background import batches, requests

pytestmark = pytest.mark.slow  # starts a server for each test

ROOT = Path(__file__).parents[3]
CHAT, RESPONSES, COMPLETIONS = "/v1/chat/completions", "/v1/responses", "/v1/completions"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


class Engine:
    """Answers with the prompt; `statuses` says which prompts get another status, and how often it was asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.statuses: dict[str, int] = {}
        self.priorities: set[str | None] = set()
        self.seconds = 0.0
        self.app = FastAPI()
        self.app.post(CHAT)(self.chat)
        self.app.post(COMPLETIONS)(self.chat)

    async def chat(self, http: Request) -> JSONResponse:
        body: dict[str, Any] = await http.json()
        prompt = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
        self.asked[prompt] += 1
        self.priorities.add(http.headers.get("x-fettle-priority"))
        await asyncio.sleep(self.seconds)
        if (status := self.statuses.get(prompt, 200)) != 200:
            return JSONResponse({"error": {"message": "no", "type": "x", "param": "messages", "code": "y"}}, status)
        choice = {"message": {"role": "assistant", "content": prompt}, "text": prompt, "finish_reason": "stop"}
        return JSONResponse({"id": "x", "model": body["model"], "choices": [choice], "usage": USAGE})


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def settings(settings: Settings, port: int) -> Settings:
    return settings.model_copy(update={"engine_url": f"http://127.0.0.1:{port}", "poll_seconds": 0.05})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "PAUSE", 0.02)
    monkeypatch.setattr(requests, "LONGEST_PAUSE", 0.05)


@pytest.fixture
async def serving(resources: Resources) -> AsyncIterator[None]:
    task = asyncio.create_task(batches.serve(resources, asyncio.Event()))
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def made(resources: Resources, *rows: Any, endpoint: str = CHAT, **changed: Any) -> Batch:
    content = b"\n".join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)
    async with resources.db.transaction() as session:
        project = await projects.ensure(session, "default")
        file = files.new(project.id, "requests.jsonl", files.BATCH, len(content))
        session.add(file)
    path = resources.settings.data / "requests.jsonl"
    path.write_bytes(content)
    await resources.storage.put_file(file.storage_key, path)
    wanted = {"completion_window": "24h", "output_expires_after": None, "labels": None, **changed}
    async with resources.db.transaction() as session:
        return await store.create(session, project.id, endpoint=endpoint, input_file=file.id, **wanted)


async def now(resources: Resources, batch: Batch) -> Batch:
    async with resources.db.snapshot() as session:
        return await store.get(session, batch.project_id, batch.id)


async def until(found: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(120):
        while not await found():  # noqa: ASYNC110 — another process would not set an event either
            await asyncio.sleep(0.02)


async def ended(resources: Resources, batch: Batch) -> Batch:
    async def over() -> bool:
        return (await now(resources, batch)).status.is_terminal

    await until(over)
    return await now(resources, batch)


async def lines(resources: Resources, file_id: str | None) -> list[dict[str, Any]]:
    if file_id is None:
        return []
    async with resources.db.snapshot() as session:
        file = await session.get_one(File, file_id)
    assert file.purpose == "batch_output"
    content = await resources.storage.read(file.storage_key)
    assert file.bytes == len(content)
    return [json.loads(line) for line in content.splitlines()]


@pytest.mark.usefixtures("serving")
class TestAnswers:
    async def test_each_request_has_one_line_in_the_order_of_the_file(self, resources: Resources, port: int) -> None:
        engine = Engine()
        with served(engine.app, port):
            rows = [request(f"r{n}") for n in range(9)]
            batch = await ended(resources, await made(resources, *rows, b"", created_by="key-mine"))
        assert (batch.status, batch.total, batch.completed, batch.failed) == (BatchStatus.COMPLETED, 9, 9, 0)
        assert (batch.input_tokens, batch.output_tokens, batch.error_file) == (27, 18, None)
        assert {"in_progress_at", "finalizing_at", "completed_at"} <= batch.moments.keys()
        out = await lines(resources, batch.output_file)
        assert [line["custom_id"] for line in out] == [f"r{n}" for n in range(9)]
        assert out[4]["response"]["status_code"] == 200
        assert out[4]["response"]["body"]["choices"][0]["message"]["content"] == "r4"
        assert engine.priorities == {"background"}
        async with resources.db.snapshot() as session:
            assert (await session.get_one(File, batch.output_file)).created_by == "key-mine"
            assert await store.answered(session, batch.id) == set()  # they are in the file now

    async def test_responses_and_completions_have_their_own_shapes(self, resources: Resources, port: int) -> None:
        with served(Engine().app, port):
            rows = (
                request("a", RESPONSES, model="starter", input="hi"),
                request("b", COMPLETIONS, model="starter", prompt="ho"),
            )
            made_of = zip(rows, (RESPONSES, COMPLETIONS), strict=True)
            done = [await ended(resources, await made(resources, row, endpoint=url)) for row, url in made_of]
        (said,), (text,) = [await lines(resources, batch.output_file) for batch in done]
        assert said["response"]["body"]["object"] == "response"
        assert said["response"]["body"]["output"][0]["content"][0]["text"] == "hi"
        assert text["response"]["body"]["choices"][0]["text"] == "ho"

    async def test_a_refused_request_is_in_the_error_file_and_the_others_go_on(
        self, resources: Resources, port: int
    ) -> None:
        engine = Engine()
        engine.statuses = {"bad": 400, "broken": 500}
        with served(engine.app, port):
            rows = (request("good"), request("bad"), request("broken"))
            batch = await ended(resources, await made(resources, *rows))
        assert (batch.status, batch.completed, batch.failed) == (BatchStatus.COMPLETED, 1, 2)
        assert [line["custom_id"] for line in await lines(resources, batch.output_file)] == ["good"]
        errors = await lines(resources, batch.error_file)
        assert [line["response"]["status_code"] for line in errors] == [400, 500]
        assert errors[0]["response"]["body"]["error"]["message"] == "no"
        assert engine.asked == {"good": 1, "bad": 1, "broken": requests.BROKEN_TRIES}

    async def test_an_engine_that_is_away_is_waited_for(self, resources: Resources, port: int) -> None:
        batch = await made(resources, request("a"))

        async def waits() -> bool:
            return "continues when the engine is back" in ((await now(resources, batch)).wait_reason or "")

        await until(waits)
        with served(Engine().app, port):
            done = await ended(resources, batch)
        assert (done.status, done.completed, done.wait_reason) == (BatchStatus.COMPLETED, 1, None)


@pytest.mark.usefixtures("serving")
async def test_a_bad_input_file_fails_the_batch_with_the_line(resources: Resources) -> None:
    batch = await ended(resources, await made(resources, request("a"), b"", request("b", model="gpt-5", messages=[])))
    assert batch.status == BatchStatus.FAILED
    (error,) = batch.errors or []
    assert (error["line"], error["code"], error["param"]) == (3, "model_not_found", "body.model")


@pytest.mark.usefixtures("serving")
class TestEnds:
    async def test_a_cancelled_batch_keeps_what_is_answered(self, resources: Resources, port: int) -> None:
        engine = Engine()
        engine.statuses = {f"r{n}": 503 for n in range(3, 30)}  # as an engine that is full from then on
        with served(engine.app, port):
            batch = await made(resources, *(request(f"r{n}") for n in range(30)))

            async def answered() -> bool:
                return (await now(resources, batch)).completed == 3

            await until(answered)
            async with resources.db.transaction() as session:
                assert (await store.cancel(session, batch.project_id, batch.id)).status == BatchStatus.CANCELLING
            done = await ended(resources, batch)
        assert (done.status, done.completed) == (BatchStatus.CANCELLED, 3)
        assert [line["custom_id"] for line in await lines(resources, done.output_file)] == ["r0", "r1", "r2"]

    async def test_requests_past_the_window_are_errors(self, resources: Resources, port: int) -> None:
        engine = Engine()
        engine.statuses = {"late": 503}
        with served(engine.app, port):
            batch = await made(resources, request("early"), request("late"), output_expires_after=3600)

            async def answered() -> bool:
                return (await now(resources, batch)).completed == 1

            await until(answered)
            async with resources.db.transaction() as session:
                row = await store.get(session, batch.project_id, batch.id, lock=True)
                row.expires_at = time.time() - 1
                row.owner = row.lease_until = None  # so that its next turn begins now
            done = await ended(resources, batch)
        assert (done.status, done.completed, done.failed) == (BatchStatus.EXPIRED, 1, 1)
        (late,) = await lines(resources, done.error_file)
        assert (late["custom_id"], late["response"], late["error"]["code"]) == ("late", None, "batch_expired")
        async with resources.db.snapshot() as session:
            assert (await session.get_one(File, done.error_file)).expires_at is not None

    async def test_an_input_file_stays_while_its_batch_goes_on(self, resources: Resources, port: int) -> None:
        batch = await made(resources, request("a"))
        async with resources.db.transaction() as session:
            (await session.get_one(File, batch.input_file)).expires_at = time.time() - 1
        async with resources.db.transaction() as session:
            assert await files.expire(session) == []
        with served(Engine().app, port):
            await ended(resources, batch)
        async with resources.db.transaction() as session:
            assert len(await files.expire(session)) == 1


async def test_batches_take_turns(resources: Resources, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "TURN_SECONDS", 0.2)
    engine = Engine()
    engine.statuses = {"first 5": 503}  # it never ends while the engine is as good as full
    first = await made(resources, *(request(f"first {n}") for n in range(6)))
    second = await made(resources, request("second"))
    with served(engine.app, port):
        task = asyncio.create_task(batches.serve(resources, asyncio.Event()))
        assert (await ended(resources, second)).status == BatchStatus.COMPLETED
        assert not (await now(resources, first)).status.is_terminal
        async with resources.db.snapshot() as session:
            answered = await store.answered(session, first.id)
        assert answered
        engine.statuses = {}
        assert (await ended(resources, first)).completed == 6
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    # a new turn goes on where the last one stopped; what was on its way when that ended is asked again
    assert {engine.asked[f"first {number - 1}"] for number in answered} == {1}


WORKER = """
import asyncio, sys
from fettle.db import Database
from fettle.registry import catalog
from fettle.settings import Settings
from fettle.storage import open_storage
from worker.background import batches
from worker.attempts.resources import Resources

batches.LEASE_SECONDS = 1.0
settings = Settings(data=sys.argv[1], engine_url=sys.argv[2], poll_seconds=0.05)
db = Database(settings.database)
asyncio.run(batches.serve(Resources(settings, db, open_storage(settings), catalog.load(None), 1), asyncio.Event()))
"""


@pytest.mark.slow
async def test_a_worker_that_is_killed_leaves_no_request_answered_twice(resources: Resources, port: int) -> None:
    engine = Engine()
    engine.seconds = 0.05
    batch = await made(resources, *(request(f"r{n}") for n in range(60)))
    command = [sys.executable, "-c", WORKER, str(resources.settings.data), f"http://127.0.0.1:{port}"]
    with served(engine.app, port):
        for share in (10, 30):
            process = subprocess.Popen(command, cwd=ROOT)  # noqa: ASYNC220

            async def some(share: int = share) -> bool:
                return (await now(resources, batch)).completed >= share

            await until(some)
            process.send_signal(signal.SIGKILL)
            process.wait()
        process = subprocess.Popen(command, cwd=ROOT)  # noqa: ASYNC220
        done = await ended(resources, batch)
        process.kill()
        process.wait()
    assert (done.status, done.completed, done.failed) == (BatchStatus.COMPLETED, 60, 0)
    out = await lines(resources, done.output_file)
    assert [line["custom_id"] for line in out] == [f"r{n}" for n in range(60)]
    assert sum(engine.asked.values()) <= 60 + 2 * batches.AT_ONCE  # only what was under way is asked again
    assert await deletions.sweep(resources.db, resources.storage) == []


async def test_a_worker_that_lost_its_batch_writes_nothing(resources: Resources) -> None:
    batch = await made(resources, request("a"))
    async with resources.db.transaction() as session:
        assert await store.claim(session, "one", 0.0) is not None
    async with resources.db.transaction() as session:
        assert await store.claim(session, "two", 60.0) is not None
        assert await store.claim(session, "three", 60.0) is None
    with pytest.raises(Fenced):
        async with resources.db.transaction() as session:
            await store.record(
                session, batch.id, "one", BatchAnswer(batch_id=batch.id, number=1, failed=False, line="{}"), {}
            )
