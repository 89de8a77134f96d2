import asyncio
from collections.abc import Mapping, Sequence

from api.dataloader import Batch


class Slow:
    """A source that answers when it is told to, with what it holds at that moment."""

    def __init__(self) -> None:
        self.holds: dict[str, int] = {}
        self.asked: list[list[str]] = []
        self.answer = asyncio.Semaphore(0)

    async def load(self, keys: Sequence[str]) -> Mapping[str, int]:
        found = {key: self.holds[key] for key in keys if key in self.holds}  # as a database: its snapshot is now
        self.asked.append(list(keys))
        await self.answer.acquire()
        return found


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_whoever_asks_while_a_read_is_under_way_gets_the_next_one() -> None:
    source = Slow()
    source.holds["a"] = 1
    batch = Batch(source.load)
    early = asyncio.create_task(batch.get("a"))
    await settle()
    source.holds["a"] = 2  # written after the first read began, before the others ask
    late = [asyncio.create_task(batch.get("a")) for _ in range(100)]
    await settle()
    source.answer.release()
    source.answer.release()
    assert await early == 1
    assert await asyncio.gather(*late) == [2] * 100
    assert source.asked == [["a"], ["a"]]


async def test_different_keys_that_wait_are_read_together_and_absent_ones_are_none() -> None:
    source = Slow()
    source.holds.update(a=1, b=2)
    batch = Batch(source.load)
    first = asyncio.create_task(batch.get("a"))
    await settle()
    others = [asyncio.create_task(batch.get(key)) for key in ("b", "none", "a")]
    await settle()
    source.answer.release()
    source.answer.release()
    assert (await first, await asyncio.gather(*others)) == (1, [2, None, 1])
    assert source.asked == [["a"], ["b", "none", "a"]]


async def test_nothing_is_remembered() -> None:
    source = Slow()
    batch = Batch(source.load)
    for held in (1, 2):
        source.holds["a"] = held
        source.answer.release()
        assert await batch.get("a") == held
    assert len(source.asked) == 2


async def test_a_client_that_goes_away_takes_nothing_from_the_others() -> None:
    source = Slow()
    source.holds["a"] = 1
    batch = Batch(source.load)
    gone, stays = asyncio.create_task(batch.get("a")), asyncio.create_task(batch.get("a"))
    await settle()
    gone.cancel()
    await settle()
    source.answer.release()
    assert await stays == 1


async def test_a_read_that_fails_fails_its_own_askers_and_not_the_next() -> None:
    fails = True

    async def load(keys: Sequence[str]) -> Mapping[str, int]:
        await asyncio.sleep(0)
        if fails:
            raise ConnectionError("away")
        return dict.fromkeys(keys, 1)

    batch = Batch(load)
    answers = await asyncio.gather(batch.get("a"), batch.get("b"), return_exceptions=True)
    assert all(isinstance(answer, ConnectionError) for answer in answers)
    fails = False
    assert await batch.get("a") == 1
