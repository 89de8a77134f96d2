"""Responses are generated through an engine that goes away, fails at a prompt, or meets a worker that died."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy import update

from fettle.cli.up import free_port
from fettle.comparisons import generation, items, progress, store
from fettle.comparisons.votes import Ballot
from fettle.inference.client import Servable
from fettle.settings import Settings
from fettle.tenancy import projects
from models import Comparison, ComparisonItem, ComparisonStatus
from tests.api.served import served
from tests.fettle.comparisons import samples
from worker import comparisons
from worker.attempts.resources import Resources

Say = Callable[[str, int], str]


class Engine:
    """Answers as `say` does; what it was asked is in `seen`."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []  # prompt and seed
        self.status = 200
        self.say: Say = lambda prompt, seed: f"{prompt} {seed}"
        self.refused: dict[str, int] = {}  # prompt → status
        self.app = FastAPI()
        self.app.post("/v1/chat/completions")(self.chat)

    async def chat(self, request: Request) -> JSONResponse:
        body: dict[str, Any] = await request.json()
        prompt, seed = body["messages"][-1]["content"], body["seed"]
        self.seen.append((prompt, seed))
        status = self.refused.get(prompt, self.status)
        if status != 200:
            return JSONResponse({"error": {"message": "no"}}, status)
        message = {"role": "assistant", "content": self.say(prompt, seed)}
        return JSONResponse({"choices": [{"message": message, "finish_reason": "stop"}]})


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def settings(settings: Settings, port: int) -> Settings:
    return settings.model_copy(update={"engine_url": f"http://127.0.0.1:{port}"})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparisons, "PAUSE", 0.02)
    monkeypatch.setattr(comparisons, "LONGEST_PAUSE", 0.05)


async def made(resources: Resources, *prompts: str, n: int = 2) -> Comparison:
    async with resources.db.transaction() as session:
        project = await projects.ensure(session, "default")
        wanted = store.Wanted(
            name="taste",
            mode="rank",
            models=["starter"],
            servables=[Servable("starter", "starter")],
            prompts=[[{"role": "user", "content": prompt}] for prompt in prompts],
            n=n,
            sampling={"temperature": 1.0},
            instructions="",
            overlap="controlled",
            votes_per_item=1,
            seed=5,
        )
        return await store.create(session, project.id, wanted)


async def claimed(resources: Resources, owner: str = "worker-1") -> Comparison:
    async with resources.db.transaction() as session:
        comparison = await generation.claim(session, owner, 60)
        assert comparison is not None
        return comparison


@asynccontextmanager
async def generating(resources: Resources, owner: str = "worker-1") -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(comparisons.generate(resources, await claimed(resources, owner)))
    yield task
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def generated(resources: Resources) -> None:
    async with asyncio.timeout(60), generating(resources) as task:
        await task


async def until(found: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not await found():  # noqa: ASYNC110 — another process would not set an event either
            await asyncio.sleep(0.02)


async def waiting(resources: Resources, comparison: Comparison) -> str | None:
    async with resources.db.snapshot() as session:
        row = await store.get(session, comparison.project_id, comparison.id)
        found: str | None = (await progress.of(session, row, resources.settings))["waiting"]
        return found


async def ready(resources: Resources, comparison: Comparison) -> list[ComparisonItem]:
    return [item for item in await samples.all_items(resources.db, comparison) if item.ready]


def texts(item: ComparisonItem) -> list[str]:
    return [response["text"] for response in item.responses or []]


async def status(resources: Resources, comparison: Comparison) -> ComparisonStatus:
    return (await samples.read(resources.db, comparison)).status


@pytest.mark.parametrize("unreachable", [True, False])
async def test_an_engine_that_is_away_is_waited_for_and_the_reason_is_shown(
    resources: Resources, port: int, unreachable: bool
) -> None:
    comparison = await made(resources, "hi")
    engine = Engine()
    engine.status = 503
    async with generating(resources) as task:
        with nullcontext() if unreachable else served(engine.app, port):
            await until(lambda: waiting(resources, comparison))
            assert "Generation continues when the engine is back." in (await waiting(resources, comparison) or "")
        engine.status = 200
        with served(engine.app, port):
            async with asyncio.timeout(60):
                await task
    assert await waiting(resources, comparison) is None
    assert await status(resources, comparison) == ComparisonStatus.READY
    assert [len(texts(item)) for item in await ready(resources, comparison)] == [2]


async def test_another_worker_takes_over_from_one_that_died_and_doubles_nothing(
    resources: Resources, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparisons, "ITEMS_AT_ONCE", 2)
    comparison = await made(resources, *"abcdef")
    engine = Engine()
    engine.refused = dict.fromkeys("cdef", 503)
    with served(engine.app, port):
        async with generating(resources) as task:
            await until(lambda: ready(resources, comparison))
            task.cancel()  # as if the process had died: nothing is given back
        first = await ready(resources, comparison)
        ann = await samples.annotator(resources.db, comparison, "ann")
        held = await samples.next_task(resources.db, comparison, ann)
        assert held is not None
        await samples.cast(resources.db, comparison, ann, Ballot(held.item.id, "ranking", ranking=held.vote.shown))
        async with resources.db.transaction() as session:
            assert await generation.claim(session, "worker-2", 60) is None  # its lease is still good
            await session.execute(update(Comparison).values(lease_until=1.0))
        engine.refused, engine.say = {}, lambda prompt, seed: f"again {prompt} {seed}"
        async with generating(resources, "worker-2") as task, asyncio.timeout(60):
            await task
    items_ = await ready(resources, comparison)
    assert [len(texts(item)) for item in items_] == [2] * 6
    assert {item.id: texts(item) for item in first}.items() <= {item.id: texts(item) for item in items_}.items()
    assert await status(resources, comparison) == ComparisonStatus.READY


async def test_prompts_that_the_engine_refuses_or_fails_at_do_not_stop_the_others(
    resources: Resources, port: int
) -> None:
    comparison = await made(resources, "one", "refused", "two", "crash", "three")
    engine = Engine()
    engine.refused = {"refused": 400, "crash": 500}
    with served(engine.app, port):
        await generated(resources)
    found = await samples.all_items(resources.db, comparison)
    assert [item.ready for item in found] == [True, False, True, False, True]
    errors = [item.error["message"] for item in found if item.error]
    assert errors == [
        "no",
        f"The engine responded with status 500. This happened {comparisons.BROKEN_TRIES} times in a row.",
    ]
    assert await status(resources, comparison) == ComparisonStatus.READY


async def test_a_comparison_without_a_single_response_fails_and_says_why(resources: Resources, port: int) -> None:
    comparison = await made(resources, "refused")
    engine = Engine()
    engine.refused = {"refused": 400}
    with served(engine.app, port):
        await generated(resources)
    row = await samples.read(resources.db, comparison)
    assert (row.status, row.error) == (ComparisonStatus.FAILED, {"code": "not_generated", "message": "no"})


async def test_responses_that_are_all_the_same_are_no_comparison(resources: Resources, port: int) -> None:
    comparison = await made(resources, "same", "other")
    engine = Engine()
    engine.say = lambda prompt, seed: prompt if prompt == "same" else f"{prompt} {seed}"
    with served(engine.app, port):
        await generated(resources)
    same, other = await samples.all_items(resources.db, comparison)
    assert other.ready
    assert same.error is not None and "fewer than two different responses" in same.error["message"]


class TestBlind:
    async def test_a_response_that_names_its_model_is_generated_again(self, resources: Resources, port: int) -> None:
        comparison = await made(resources, "who are you?")
        engine = Engine()
        engine.say = lambda prompt, seed: f"I am starter, {seed}" if len(engine.seen) == 1 else f"A model, {seed}"
        with served(engine.app, port):
            await generated(resources)
        (item,) = await ready(resources, comparison)
        assert all(text.startswith("A model") for text in texts(item))
        assert not any(response["names_model"] for response in item.responses or [])

    async def test_one_that_always_names_it_is_flagged(self, resources: Resources, port: int) -> None:
        comparison = await made(resources, "who are you?")
        engine = Engine()
        engine.say = lambda prompt, seed: f"I am starter, {seed}"
        with served(engine.app, port):
            await generated(resources)
        (item,) = await ready(resources, comparison)
        assert [response["names_model"] for response in item.responses or []] == [True, True]
        assert len(engine.seen) == 2 * comparisons.TRIES

    @pytest.mark.parametrize(
        ("text", "names", "named"),
        [
            ("I am Starter.", ["starter"], True),
            ("kickstarters", ["starter"], False),
            ("As ft:starter:p::1, I say", ["ft:starter:p::1"], True),
            ("I'm Qwen, made by Alibaba Cloud", ["Qwen/Qwen2.5-0.5B-Instruct"], True),
            ("My name is actually qwen2", ["Qwen/Qwen2.5-0.5B-Instruct"], True),
            ("A llama is an animal. I am sure.", ["llama-3-8b"], False),
            ("a.b", ["a-b"], False),
            ("whatever", [], False),
        ],
    )
    def test_a_text_names_a_model_or_speaks_of_itself_as_one(self, text: str, names: list[str], named: bool) -> None:
        assert comparisons.names_model(text, names) is named


async def test_an_item_that_is_generated_again_gets_other_responses(resources: Resources, port: int) -> None:
    comparison = await made(resources, "hi", "ho")
    with served(Engine().app, port):
        await generated(resources)
        before = [texts(item) for item in await ready(resources, comparison)]
        async with resources.db.transaction() as session:
            row = await store.get(session, comparison.project_id, comparison.id, locked=True)
            (first, _), _ = await items.newest(session, row.project_id, row.id, after=None, limit=2)
            await generation.regenerate(session, row, first.id, delete_votes=False)
        await generated(resources)
    after = [texts(item) for item in await ready(resources, comparison)]
    assert after[1] == before[1]
    assert not set(after[0]) & set(before[0])


async def test_what_was_generated_for_an_earlier_round_is_dropped(resources: Resources) -> None:
    """The item was regenerated while a worker was on it."""
    comparison = await made(resources, "hi")
    await claimed(resources)
    async with resources.db.transaction() as session:
        (item,) = await generation.pending(session, comparison.id, 1)
        await session.execute(update(ComparisonItem).values(round=1).execution_options(synchronize_session=False))
        await generation.keep(session, item, [{"id": "r", "text": "old"}], None)
    assert await ready(resources, comparison) == []


async def test_a_prompt_that_is_added_at_the_last_moment_is_generated(resources: Resources) -> None:
    comparison = await made(resources, "hi")
    await claimed(resources)
    async with resources.db.transaction() as session:
        assert await generation.finish(session, comparison.id, "worker-1") is False
    assert await status(resources, comparison) == ComparisonStatus.GENERATING


async def test_a_deleted_comparison_ends_the_workers_turn(resources: Resources, port: int) -> None:
    comparison = await made(resources, "hi")
    engine = Engine()
    engine.status = 503
    with served(engine.app, port):
        async with generating(resources) as task:
            await until(lambda: waiting(resources, comparison))
            async with resources.db.transaction() as session:
                await store.delete_all(session, comparison.project_id, comparison.id)
            engine.status = 200
            async with asyncio.timeout(60):
                await task
    async with resources.db.snapshot() as session:
        assert await session.get(Comparison, comparison.id) is None
