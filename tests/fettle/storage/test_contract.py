"""One contract, kept by the local folder and by S3 alike."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fettle.settings import Settings
from fettle.storage import LocalStorage, Missing, Storage, open_storage
from fettle.storage.s3 import PART, S3Storage
from tests.fettle.storage.streams import Hangup, broken, chunks, s3_settings


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return open_storage(Settings(data=tmp_path))
    endpoint, bucket = request.getfixturevalue("s3_endpoint"), request.getfixturevalue("bucket")
    return open_storage(s3_settings(endpoint, f"s3://{bucket}/some/prefix"))


def leftovers(storage: Storage) -> list[Any]:
    """What an unfinished upload occupies, where no key leads to it."""
    if isinstance(storage, LocalStorage):
        return list(storage.aside.iterdir())
    assert isinstance(storage, S3Storage)
    return list(storage.client.list_multipart_uploads(Bucket=storage.bucket).get("Uploads", []))


class TestContract:
    async def test_a_stream_comes_back_as_it_was_put(self, storage: Storage) -> None:
        assert await storage.put("a/b", chunks(b"one", b"", b"two")) == 6
        assert await storage.read("a/b") == b"onetwo"
        assert b"".join([chunk async for chunk in storage.stream("a/b")]) == b"onetwo"

    async def test_an_empty_stream_is_an_empty_object(self, storage: Storage) -> None:
        assert await storage.put("empty", chunks()) == 0
        assert await storage.read("empty") == b""
        assert [chunk async for chunk in storage.stream("empty")] == []
        assert await storage.list("empty") == ["empty"]

    @pytest.mark.parametrize("size", [PART, 2 * PART + 7])
    async def test_a_stream_of_several_parts_comes_back_equal(self, storage: Storage, size: int) -> None:
        content = bytes(range(251)) * (size // 251 + 1)
        pieces = [content[start : min(start + 3_000_000, size)] for start in range(0, size, 3_000_000)]
        assert await storage.put("large", chunks(*pieces)) == size
        assert await storage.read("large") == content[:size]
        assert leftovers(storage) == []

    async def test_a_file_goes_and_comes_back_equal(self, storage: Storage, tmp_path: Path) -> None:
        source, target = tmp_path / "source", tmp_path / "target"
        source.write_bytes(b"\x00\xff" * 5000)
        await storage.put_file("a/file", source)
        await storage.get_file("a/file", target)
        assert target.read_bytes() == source.read_bytes()

    async def test_a_second_put_takes_the_place_of_the_first(self, storage: Storage) -> None:
        await storage.put("key", chunks(b"a longer first"))
        await storage.put("key", chunks(b"second"))
        assert await storage.read("key") == b"second"

    async def test_puts_at_the_same_time_leave_one_of_them_whole(self, storage: Storage) -> None:
        contents = [bytes([n]) * 100_000 for n in range(8)]
        await asyncio.gather(*(storage.put("key", chunks(content[:50_000], content[50_000:])) for content in contents))
        assert await storage.read("key") in contents
        assert leftovers(storage) == []

    @pytest.mark.parametrize("before", [b"few bytes", b"x" * (PART + 1)])
    async def test_a_stream_that_raises_leaves_nothing(self, storage: Storage, before: bytes) -> None:
        with pytest.raises(Hangup):
            await storage.put("a/b", broken(before))
        assert await storage.list("a") == []
        with pytest.raises(Missing):
            await storage.read("a/b")
        assert leftovers(storage) == []

    async def test_a_stream_that_raises_leaves_the_old_object_as_it_was(self, storage: Storage) -> None:
        await storage.put("key", chunks(b"old"))
        with pytest.raises(Hangup):
            await storage.put("key", broken(b"x" * (PART + 1)))
        assert await storage.read("key") == b"old"

    @pytest.mark.parametrize("before", [b"few bytes", b"x" * (PART + 1)])
    async def test_a_put_that_is_cancelled_leaves_nothing(self, storage: Storage, before: bytes) -> None:
        waiting = asyncio.Event()

        async def stalled() -> AsyncIterator[bytes]:
            yield before
            waiting.set()
            await asyncio.sleep(60)

        put = asyncio.create_task(storage.put("a/b", stalled()))
        await waiting.wait()
        put.cancel()
        with pytest.raises(asyncio.CancelledError):
            await put
        assert await storage.list("a") == []
        assert leftovers(storage) == []

    async def test_nothing_is_visible_while_a_stream_is_under_way(self, storage: Storage) -> None:
        seen: list[list[str]] = []

        async def slow() -> AsyncIterator[bytes]:
            yield b"x" * (PART + 1)
            seen.append(await storage.list("a"))
            yield b"rest"

        await storage.put("a/b", slow())
        assert seen == [[]]
        assert await storage.list("a") == ["a/b"]

    async def test_what_is_not_there_is_missing(self, storage: Storage, tmp_path: Path) -> None:
        await storage.put("a/b", chunks(b"x"))
        for key in ("nothing", "a", "a/b/c"):
            with pytest.raises(Missing, match=key):
                await storage.read(key)
            with pytest.raises(Missing, match=key):
                await anext(aiter(storage.stream(key)))
            with pytest.raises(Missing, match=key):
                await storage.get_file(key, tmp_path / "target")
        assert not (tmp_path / "target").exists()

    async def test_a_list_is_sorted_and_goes_deep(self, storage: Storage) -> None:
        for key in ("a/c", "a/b/2", "a/b/1", "z"):
            await storage.put(key, chunks(b"x"))
        assert await storage.list("a") == ["a/b/1", "a/b/2", "a/c"]
        assert await storage.list("nothing") == []

    async def test_a_prefix_is_a_folder_and_not_the_beginning_of_a_name(self, storage: Storage) -> None:
        for key in ("a/b/1", "a/bc/1", "a/bc", "a/b.txt") if isinstance(storage, S3Storage) else ("a/b/1", "a/bc/1"):
            await storage.put(key, chunks(b"x"))
        assert await storage.list("a/b") == ["a/b/1"]
        await storage.delete("a/b")
        assert "a/b/1" not in await storage.list("a")
        assert "a/bc/1" in await storage.list("a")

    async def test_deleting_takes_an_object_and_all_below_a_prefix(self, storage: Storage) -> None:
        for key in ("a/1", "a/b/2", "c"):
            await storage.put(key, chunks(b"x"))
        await storage.delete("a")
        assert await storage.list("a") == []
        assert await storage.read("c") == b"x"
        await storage.delete("c")
        assert await storage.list("c") == []

    async def test_deleting_nothing_is_no_error(self, storage: Storage) -> None:
        await storage.delete("nothing/here")

    async def test_a_stream_that_is_left_early_holds_nothing_up(self, storage: Storage) -> None:
        await storage.put("key", chunks(b"x" * (3 << 20)))
        stream = storage.stream("key")
        assert len(await anext(aiter(stream))) > 0
        await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
        await storage.delete("key")
