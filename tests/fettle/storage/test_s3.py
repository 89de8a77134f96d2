import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from fettle.storage import Away, Missing, Refused, open_storage
from fettle.storage.s3 import PART, S3Storage, meaning
from tests.faults.proxy import Proxy
from tests.fettle.storage.streams import Hangup, chunks, s3_settings


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
