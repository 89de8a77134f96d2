"""One contract, kept by the local folder and by S3 alike."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from pydantic import SecretStr

from fettle.settings import Settings
from fettle.storage import Away, LocalStorage, Missing, Refused, Storage, open_storage
from fettle.storage.s3 import PART, S3Storage, meaning
from tests.faults.proxy import Proxy

CREDENTIALS = {"aws_access_key_id": "id", "aws_secret_access_key": "secret", "region_name": "us-east-1"}


class Hangup(Exception):
    """The client went away in the middle of its upload."""


async def chunks(*content: bytes) -> AsyncIterator[bytes]:
    for chunk in content:
        yield chunk


async def broken(*content: bytes) -> AsyncIterator[bytes]:
    for chunk in content:
        yield chunk
    raise Hangup


def s3_settings(endpoint: str, url: str) -> Settings:
    return Settings(
        storage_url=url, s3_endpoint=endpoint, s3_access_key_id="id", s3_secret_access_key=SecretStr("secret")
    )


@pytest.fixture
def bucket(s3_endpoint: str) -> str:
    name = f"fettle-{uuid.uuid4().hex}"
    boto3.client("s3", endpoint_url=s3_endpoint, **CREDENTIALS).create_bucket(Bucket=name)
    return name


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


class TestLocal:
    @pytest.mark.parametrize("key", ["../out", "a/../../out", "a/..", "/etc/passwd", "a//b", "a/", "", ".", ".aside/x"])
    async def test_a_key_that_leads_out_of_the_folder_is_refused(self, key: str, tmp_path: Path) -> None:
        storage = LocalStorage(str(tmp_path / "storage"))
        source = tmp_path / "source"
        source.write_bytes(b"x")
        uses: list[Callable[[], Any]] = [
            lambda: storage.put(key, chunks(b"x")),
            lambda: storage.put_file(key, source),
            lambda: storage.get_file(key, tmp_path / "target"),
            lambda: storage.read(key),
            lambda: anext(aiter(storage.stream(key))),
            lambda: storage.list(key),
            lambda: storage.delete(key),
        ]
        for use in uses:
            with pytest.raises(ValueError, match="not a storage key"):
                await use()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "storage"]
        assert list(storage.aside.iterdir()) == []

    async def test_a_refused_key_reads_nothing_of_the_stream(self, tmp_path: Path) -> None:
        read: list[bytes] = []

        async def watched() -> AsyncIterator[bytes]:
            read.append(b"x")
            yield b"x"

        with pytest.raises(ValueError, match="not a storage key"):
            await LocalStorage(str(tmp_path)).put("../out", watched())
        assert read == []


class TestS3:
    async def test_two_prefixes_of_one_bucket_do_not_see_each_other(self, s3_endpoint: str, bucket: str) -> None:
        one, other = (open_storage(s3_settings(s3_endpoint, f"s3://{bucket}/{name}")) for name in ("a", "b/c/"))
        await one.put("key", chunks(b"one"))
        assert await other.list("key") == []
        with pytest.raises(Missing):
            await other.read("key")
        await other.put("key", chunks(b"other"))
        await other.delete("key")
        assert await one.read("key") == b"one"

    async def test_a_bucket_without_a_prefix_works_as_well(self, s3_endpoint: str, bucket: str) -> None:
        storage = open_storage(s3_settings(s3_endpoint, f"s3://{bucket}"))
        await storage.put("a/b", chunks(b"x"))
        assert await storage.list("a") == ["a/b"]

    async def test_a_list_longer_than_a_page_is_whole(
        self, s3_endpoint: str, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """S3 lists a thousand keys a page, here five."""
        monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "5")
        storage = S3Storage(s3_settings(s3_endpoint, f"s3://{bucket}"))
        for n in range(7):
            await storage.put(f"many/{n:02d}", chunks())
        assert storage.client.list_objects_v2(Bucket=bucket)["KeyCount"] == 5
        assert await storage.list("many") == [f"many/{n:02d}" for n in range(7)]
        await storage.delete("many")
        assert await storage.list("many") == []

    async def test_a_bucket_that_is_not_there_is_no_missing_object(self, s3_endpoint: str) -> None:
        storage = open_storage(s3_settings(s3_endpoint, "s3://no-such-bucket"))
        with pytest.raises(Exception, match="NoSuchBucket"):
            await storage.read("key")

    async def test_a_bucket_that_is_not_there_refuses_every_method(self, s3_endpoint: str, tmp_path: Path) -> None:
        storage = S3Storage(s3_settings(s3_endpoint, "s3://no-such-bucket"))
        (tmp_path / "source").write_bytes(b"x")
        for use in (
            storage.put("key", chunks(b"y")),
            storage.put_file("key", tmp_path / "source"),
            storage.get_file("key", tmp_path / "target"),
            storage.read("key"),
            storage.list("key"),
            storage.delete("key"),
        ):
            with pytest.raises(Refused, match=r"^key: 404 NoSuchBucket"):
                await use

    @pytest.mark.parametrize(
        ("status", "code", "kind"),
        [
            (403, "AccessDenied", Refused),
            (403, "QuotaExceeded", Refused),
            (400, "InvalidRequest", Refused),
            (507, "XMinioStorageFull", Refused),
            (500, "XMinioStorageFull", Refused),
            (501, "NotImplemented", Refused),
            (500, "InternalError", Away),
            (503, "SlowDown", Away),
            (400, "RequestTimeout", Away),
            (404, "NoSuchKey", Missing),
        ],
    )
    def test_what_no_retry_mends_is_a_refusal(self, status: int, code: str, kind: type[Exception]) -> None:
        answer: Any = {"Error": {"Code": code, "Message": "words"}, "ResponseMetadata": {"HTTPStatusCode": status}}
        assert type(meaning(ClientError(answer, "PutObject"), "key")) is kind

    @pytest.mark.slow
    async def test_a_store_that_is_overloaded_or_gone_is_away_in_every_method(
        self, s3_endpoint: str, bucket: str, tmp_path: Path
    ) -> None:
        proxy = Proxy(s3_endpoint)
        (tmp_path / "source").write_bytes(b"x")

        async def errors(storage: S3Storage) -> list[Any]:
            uses = (
                storage.put("key", chunks(b"y")),
                storage.put_file("key", tmp_path / "source"),
                storage.get_file("key", tmp_path / "target"),
                storage.read("key"),
                storage.list("key"),
                storage.delete("key"),
            )
            return [type(error) for error in await asyncio.gather(*uses, return_exceptions=True)]

        storage = S3Storage(s3_settings(proxy.url, f"s3://{bucket}"))
        await storage.put("key", chunks(b"x"))
        with proxy.refusing():
            assert await errors(storage) == [Away] * 6
        assert await storage.read("key") == b"x"
        proxy.stop()
        assert await errors(S3Storage(s3_settings("http://127.0.0.1:1", f"s3://{bucket}"))) == [Away] * 6

    async def test_what_made_a_put_fail_is_told_even_when_the_abort_fails_too(
        self, s3_endpoint: str, bucket: str
    ) -> None:
        storage = S3Storage(s3_settings(s3_endpoint, f"s3://{bucket}"))

        async def aborted_by_another() -> AsyncIterator[bytes]:
            yield b"x" * (PART + 1)
            (upload,) = storage.client.list_multipart_uploads(Bucket=bucket)["Uploads"]
            storage.client.abort_multipart_upload(Bucket=bucket, Key="key", UploadId=upload["UploadId"])
            raise Hangup

        with pytest.raises(Hangup):
            await storage.put("key", aborted_by_another())
