"""Several bases in one engine: read beside the decoding, one at a time each, and let go when there is no room."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fettle.errors import InvalidRequest, TrainingFailed, Unavailable
from fettle.registry.catalog import STARTER, BaseModelEntry
from fettle.storage import LocalStorage
from tests.worker.engine.conftest import QUESTION, Engine, user
from worker.engine import model_pool as pool_module
from worker.engine import prompts
from worker.engine.completion_schema import CompletionRequest
from worker.engine.decode_thread import DecodeThread
from worker.engine.decoding import Batch, Outputs
from worker.engine.errors import Overloaded, UnknownModel
from worker.engine.model_pool import Pool
from worker.engine.requests import Request, Sampling

pytestmark = pytest.mark.slow  # loads transformers


def entry(path: Path) -> BaseModelEntry:
    return BaseModelEntry(path=path, parameters=1, length=2048)


def too_many_tokens(folder: Path) -> Path:
    """A base whose tokenizer has more tokens than the model has embeddings."""
    shutil.copytree(STARTER, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    file = folder / "tokenizer.json"
    tokenizer: dict[str, Any] = json.loads(file.read_text())
    size = len(tokenizer["model"]["vocab"])
    tokenizer["model"]["vocab"] |= {f"extra{i}": size + i for i in range(40)}
    file.write_text(json.dumps(tokenizer))
    return folder


@pytest.fixture
async def pool(store: LocalStorage, tmp_path: Path) -> AsyncIterator[Pool]:
    names = {name: entry(STARTER) for name in ("a", "b", "c")}
    thread = DecodeThread(threads=1)
    yield Pool(names | {"bad": entry(too_many_tokens(tmp_path / "bad"))}, store, tmp_path / "cache", thread)
    await thread.stop()


async def request(pool: Pool, base: str, slot: str | None = None, max_tokens: int = 3) -> Request:
    found = await pool.base(base)
    await pool.network(found)
    sampling = Sampling(1, 0.0, 1.0, None, max_tokens, ())
    return Request(found, slot, found.renderer.prompt(user(QUESTION)), sampling)


async def answered(one: Request) -> None:
    while (await one.next()).finish_reason is None:
        pass


async def test_two_bases_are_decoded_side_by_side(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward passes are counted: the bases take turns at every token, and each pass writes both rows of its base."""
    passes: list[tuple[str, int]] = []  # base and rows, in the order in which the thread runs them
    step = Batch.step

    def counted(batch: Batch, outputs: Outputs) -> None:
        [name] = [name for name, network in pool.thread.networks.items() if network is batch.network]
        passes.append((name, len(batch.rows)))
        step(batch, outputs)

    monkeypatch.setattr(Batch, "step", counted)
    requests = [await request(pool, base, max_tokens=6) for base in ("a", "b", "a", "b")]
    with pool.thread.changed:  # the thread finds all four at once
        for one in requests:
            pool.thread.submit(one)
    await asyncio.gather(*(answered(one) for one in requests))
    assert passes == [("a", 2), ("b", 2)] * 5  # the first of the six tokens comes with the prompt


async def test_a_base_that_many_want_at_once_is_read_once(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    real = pool_module.read_network
    monkeypatch.setattr(
        pool_module, "read_network", lambda base, **options: read.append(base.name) or real(base, **options)
    )
    networks = await asyncio.gather(*(request(pool, "a") for _ in range(5)))
    assert len(networks) == 5
    assert read == ["a"]


async def test_a_client_that_leaves_while_its_base_is_read_does_not_undo_it(pool: Pool) -> None:
    base = await pool.base("a")
    leaving = asyncio.create_task(pool.network(base))
    await asyncio.sleep(0)
    reading = pool.reading["a"]
    leaving.cancel()
    assert await reading is pool.resident["a"]
    assert leaving.cancelled()


async def test_others_are_answered_while_a_base_is_read(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, done = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    real = pool_module.read_network

    def slow(base: Any, **options: Any) -> Any:
        loop.call_soon_threadsafe(reading.set)
        asyncio.run_coroutine_threadsafe(done.wait(), loop).result(30)
        return real(base, **options)

    first = await request(pool, "a")
    monkeypatch.setattr(pool_module, "read_network", slow)
    waiting = asyncio.create_task(request(pool, "b"))
    await reading.wait()
    pool.thread.submit(first)
    await answered(first)
    assert not waiting.done()
    done.set()
    second = await waiting
    pool.thread.submit(second)
    await answered(second)


async def test_a_base_whose_tokenizer_is_too_large_is_refused_and_the_next_request_answered(pool: Pool) -> None:
    for _ in range(2):
        with pytest.raises(Unavailable, match="its tokenizer belongs to another model"):
            await request(pool, "bad")
    good = await request(pool, "a")
    pool.thread.submit(good)
    await answered(good)
    assert [*pool.resident] == [*pool.thread.networks] == ["a"]


async def test_the_idle_base_used_longest_ago_makes_room_with_its_adapters(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "MAX_BASES", 2)
    await pool.load("tuned", "adapters/one", "a")
    await request(pool, "b")
    await request(pool, "a")
    await request(pool, "c")  # b is the older
    assert sorted(pool.resident) == sorted(pool.thread.networks) == ["a", "c"]
    assert (await pool.find("tuned"))[1]
    await request(pool, "b")
    assert sorted(pool.resident) == ["b", "c"]
    with pytest.raises(UnknownModel):
        await pool.find("tuned")
    await pool.load("tuned", "adapters/one", "a")
    assert sorted(pool.resident) == ["a", "b"]


async def test_a_base_that_is_answering_does_not_make_room(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "MAX_BASES", 1)
    await pool.load("talks", "adapters/endless", "a")
    busy = await request(pool, "a", pool.adapters["talks"].slot, max_tokens=1500)
    pool.thread.submit(busy)
    await busy.next()
    with pytest.raises(Overloaded, match="All 1 loaded base models"):
        await request(pool, "b")
    busy.cancel()
    other = await request(pool, "b")
    pool.thread.submit(other)
    await answered(other)


async def test_adapters_are_read_while_others_decode(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, ask: Callable[..., Request]
) -> None:
    from worker.engine.networks import Network

    loop, reading, done = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    real = Network.read

    def slow(network: Network, folder: Path) -> Any:
        loop.call_soon_threadsafe(reading.set)
        asyncio.run_coroutine_threadsafe(done.wait(), loop).result(30)
        return real(network, folder)

    first = await request(pool, "a")
    monkeypatch.setattr(Network, "read", slow)
    loads = [asyncio.create_task(pool.load("tuned", "adapters/one", "a")) for _ in range(3)]
    await reading.wait()
    pool.thread.submit(first)
    await answered(first)
    done.set()
    await asyncio.gather(*loads)
    assert len(pool.resident["a"].loras) == 1


def test_a_base_without_a_chat_template_is_unavailable_and_says_why(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object) -> None:
        raise TrainingFailed("no_chat_template", "The base model in 'starter' has no chat template.", "model")

    known = engine.client.post("/v1/completions", json={"model": "starter", "prompt": "a", "max_tokens": 1})
    assert known.status_code == 200  # the engine reads it at its start, perhaps still now
    monkeypatch.delitem(engine.pool.bases, "starter")
    monkeypatch.setattr(pool_module, "read_base", unreadable)
    answer = engine.chat()
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        503,
        "The base model in 'starter' has no chat template.",
    )


def test_a_prompt_of_no_token_is_refused() -> None:
    body = CompletionRequest(model="starter", prompt="x")
    nothing = SimpleNamespace(encode=lambda _: SimpleNamespace(ids=[]))
    base = SimpleNamespace(name="starter", renderer=SimpleNamespace(tokenizer=nothing))
    with pytest.raises(InvalidRequest, match="no token"):
        prompts.of_texts(base, body)  # type: ignore[arg-type]
