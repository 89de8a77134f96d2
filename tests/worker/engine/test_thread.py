import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fettle.errors import Unavailable
from fettle.formats.render import Renderer
from worker.engine.networks import Networks
from worker.engine.requests import Base, Piece, Request
from worker.engine.thread import DecodeThread

Ask = Callable[..., Request]


async def pieces(request: Request) -> list[Piece]:
    said = [await request.next()]
    while said[-1].finish_reason is None:
        said.append(await request.next())
    return said


async def test_the_event_loop_goes_on_while_the_thread_decodes(ask: Ask) -> None:
    decoding = DecodeThread(threads=1)
    request = ask(max_tokens=10)
    decoding.submit(request)
    beats = 0
    while not request.over.is_set():
        await asyncio.sleep(0.001)
        beats += 1
    assert beats > 10
    assert (await pieces(request))[-1].tokens <= 10
    await decoding.stop()
    assert not decoding.alive


async def test_what_a_call_raises_reaches_its_caller_and_the_thread_goes_on(ask: Ask) -> None:
    decoding = DecodeThread(threads=1)
    with pytest.raises(ZeroDivisionError):
        await decoding.call(lambda networks: 1 // 0)
    request = ask(max_tokens=3)
    decoding.submit(request)
    assert await pieces(request)
    await decoding.stop()


async def test_what_waits_on_a_thread_that_dies_is_told_and_nothing_more_is_taken(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(decoding: DecodeThread) -> None:
        with decoding.changed:
            decoding.changed.wait_for(lambda: bool(decoding.waiting and decoding.calls))
        raise MemoryError

    monkeypatch.setattr(DecodeThread, "_serve", dies)
    decoding = DecodeThread(threads=1)
    request = ask()
    decoding.submit(request)
    with pytest.raises(Unavailable):
        await decoding.call(lambda networks: None)
    with pytest.raises(Unavailable):
        await request.next()
    await asyncio.to_thread(decoding.thread.join)
    with pytest.raises(Unavailable):
        decoding.submit(ask())


async def test_a_base_whose_tokenizer_is_too_large_is_refused_and_the_next_request_answered(
    ask: Ask, base: Base, tmp_path: Path
) -> None:
    folder = tmp_path / "base"
    shutil.copytree(base.folder, folder)
    file = folder / "tokenizer.json"
    tokenizer: dict[str, Any] = json.loads(file.read_text())
    size = len(tokenizer["model"]["vocab"])
    tokenizer["model"]["vocab"] |= {f"extra{i}": size + i for i in range(40)}
    file.write_text(json.dumps(tokenizer))
    decoding = DecodeThread(threads=1)
    bad = Request(Base("bad", folder, 2048, Renderer(folder)), None, ask().prompt, ask().sampling)
    good = ask(max_tokens=2)
    decoding.submit(bad)
    decoding.submit(good)
    with pytest.raises(Unavailable, match="its tokenizer belongs to another model"):
        await bad.next()
    assert await pieces(good)
    with pytest.raises(Unavailable):
        await decoding.call(lambda networks: networks.get(bad.base))
    loaded = await decoding.call(lambda networks: list(networks.loaded))
    assert loaded == ["starter"]
    assert isinstance(await decoding.call(lambda networks: networks), Networks)
    await decoding.stop()
