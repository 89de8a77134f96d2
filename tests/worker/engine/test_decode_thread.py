import asyncio
from collections.abc import Callable

import pytest

from fettle.errors import Unavailable
from worker.engine.decode_thread import DecodeThread
from worker.engine.networks import Network
from worker.engine.requests import Piece, Request

pytestmark = pytest.mark.slow  # loads transformers

Ask = Callable[..., Request]


async def pieces(request: Request) -> list[Piece]:
    said = [await request.next()]
    while said[-1].finish_reason is None:
        said.append(await request.next())
    return said


async def serving(network: Network) -> DecodeThread:
    decoding = DecodeThread(threads=1)
    await decoding.call(lambda: decoding.networks.update(starter=network))
    return decoding


async def test_the_event_loop_goes_on_while_the_thread_decodes(ask: Ask, network: Network) -> None:
    decoding = await serving(network)
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


async def test_what_a_call_raises_reaches_its_caller_and_the_thread_goes_on(ask: Ask, network: Network) -> None:
    decoding = await serving(network)
    with pytest.raises(ZeroDivisionError):
        await decoding.call(lambda: 1 // 0)
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
        await decoding.call(lambda: None)
    with pytest.raises(Unavailable):
        await request.next()
    await asyncio.to_thread(decoding.thread.join)
    with pytest.raises(Unavailable):
        decoding.submit(ask())
