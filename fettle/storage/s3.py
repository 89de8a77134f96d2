"""Storage in an S3 bucket, through boto3 on threads. Large streams go up in parts and appear when complete."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
from boto3.exceptions import Boto3Error, RetriesExceededError, S3UploadFailedError
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError, IncompleteReadError

from fettle.observability import metrics
from fettle.settings import Settings
from fettle.storage.protocol import Away, Missing, Refused

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef

PART = 8 << 20  # S3 wants parts of 5 MiB or more
ABSENT = {"404", "NoSuchKey"}
OVERLOADED = {"RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "OperationAborted"}
NO_ROOM = {"XMinioStorageFull", "InsufficientStorage", "QuotaExceeded"}  # with a status of 500 and more in some stores
FOR_GOOD = {501, 505, 507}  # not implemented, wrong protocol, no room


class S3Storage:
    def __init__(self, settings: Settings) -> None:
        url = urlsplit(settings.storage)
        self.bucket = url.netloc
        self.prefix = f"{url.path.strip('/')}/" if url.path.strip("/") else ""
        self.client = connect(settings, settings.s3_endpoint)
        self.signer = connect(settings, settings.s3_public_endpoint or settings.s3_endpoint)
        metrics.count_s3_errors(self.client)

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> int:
        with translate_errors(key):
            return await self._put(self.prefix + key, chunks)

    async def _put(self, name: str, chunks: AsyncIterator[bytes]) -> int:
        size, pending = 0, bytearray()
        upload: str | None = None
        parts: list[CompletedPartTypeDef] = []

        async def send_part(upload_id: str, body: bytes) -> None:
            number = len(parts) + 1
            answer = await asyncio.to_thread(
                self.client.upload_part,
                Bucket=self.bucket, Key=name, UploadId=upload_id, PartNumber=number, Body=body,
            )  # fmt: skip
            parts.append({"ETag": answer["ETag"], "PartNumber": number})

        try:
            async for chunk in chunks:
                size += len(chunk)
                pending += chunk
                if len(pending) >= PART:
                    if upload is None:
                        answer = await asyncio.to_thread(
                            self.client.create_multipart_upload, Bucket=self.bucket, Key=name
                        )
                        upload = answer["UploadId"]
                    await send_part(upload, bytes(pending))
                    pending.clear()
            if upload is None:
                await asyncio.to_thread(self.client.put_object, Bucket=self.bucket, Key=name, Body=bytes(pending))
                return size
            if pending:
                await send_part(upload, bytes(pending))
            await asyncio.to_thread(
                self.client.complete_multipart_upload,
                Bucket=self.bucket, Key=name, UploadId=upload, MultipartUpload={"Parts": parts},
            )  # fmt: skip
        except BaseException:  # cancelled too: parts that nobody completes are paid for
            if upload is not None:
                with contextlib.suppress(ClientError, BotoCoreError):  # what broke the upload is the error to tell
                    await asyncio.to_thread(
                        self.client.abort_multipart_upload, Bucket=self.bucket, Key=name, UploadId=upload
                    )
            raise
        return size

    async def put_file(self, key: str, path: Path, *, keep: bool = True) -> None:
        with translate_errors(key):
            await asyncio.to_thread(self.client.upload_file, str(path), self.bucket, self.prefix + key)

    async def get_file(self, key: str, path: Path) -> None:
        try:
            with translate_errors(key):
                await asyncio.to_thread(self.client.download_file, self.bucket, self.prefix + key, str(path))
        except Missing:
            await self._need_bucket(key)
            raise

    async def _need_bucket(self, key: str) -> None:
        """The 404 of a HEAD request does not say what is absent. Raises Refused without the bucket."""
        try:
            with translate_errors(key):
                await asyncio.to_thread(self.client.head_bucket, Bucket=self.bucket)
        except Missing:
            raise Refused(key, f"404 NoSuchBucket: the bucket {self.bucket!r} does not exist") from None

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        with translate_errors(key):
            answer = await asyncio.to_thread(self.client.get_object, Bucket=self.bucket, Key=self.prefix + key)
            body = answer["Body"]
            try:
                while chunk := await asyncio.to_thread(body.read, 1 << 20):
                    yield chunk
            finally:
                body.close()

    async def read(self, key: str) -> bytes:
        return b"".join([chunk async for chunk in self.stream(key)])

    async def sizes(self, prefix: str) -> dict[str, int]:
        def pages() -> dict[str, int]:
            paginator = self.client.get_paginator("list_objects_v2")
            return {
                item["Key"].removeprefix(self.prefix): item["Size"]
                for page in paginator.paginate(Bucket=self.bucket, Prefix=self.prefix + prefix)
                for item in page.get("Contents", [])
            }

        with translate_errors(prefix):
            found = await asyncio.to_thread(pages)
        return {key: found[key] for key in sorted(found) if key == prefix or key.startswith(prefix + "/")}

    async def list(self, prefix: str) -> list[str]:
        return list(await self.sizes(prefix))

    async def presign(self, key: str, seconds: int) -> str | None:
        """Signed here: S3 is not asked, and the URL tells of an absent key."""
        target = {"Bucket": self.bucket, "Key": self.prefix + key}
        url: str = self.signer.generate_presigned_url("get_object", Params=target, ExpiresIn=seconds)
        return url

    async def delete(self, prefix: str) -> None:
        for key in await self.list(prefix):
            with translate_errors(key):
                await asyncio.to_thread(self.client.delete_object, Bucket=self.bucket, Key=self.prefix + key)


def connect(settings: Settings, endpoint: str | None) -> "S3Client":
    """Opens no connection until it is used."""
    secret = settings.s3_secret_access_key
    client: S3Client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key_id,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        config=Config(
            # Seconds, not minutes: a request's client is translate_errors soon, and a worker is patient by itself
            retries={"total_max_attempts": 4, "mode": "standard"},
            max_pool_connections=32,
            connect_timeout=5,
            read_timeout=30,
            signature_version="s3v4",
        ),
    )
    return client


@contextlib.contextmanager
def translate_errors(key: str) -> Iterator[None]:
    """What boto3 raises, as the protocol's errors."""
    try:
        yield
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise meaning(error, key) from error


def meaning(error: Exception, key: str) -> Exception:
    if isinstance(error, S3UploadFailedError) and isinstance(error.__context__, ClientError):
        error = error.__context__
    if isinstance(error, ClientError):
        answer = error.response.get("Error", {})
        code, status = answer.get("Code", ""), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in ABSENT:
            return Missing(key)
        words = f"{status} {code}" if code and code != str(status) else str(status)
        words += f": {answer['Message']}" if answer.get("Message") else ""
        busy = code in OVERLOADED or (status >= 500 and status not in FOR_GOOD and code not in NO_ROOM)
        return Away(key, words) if busy else Refused(key, words)
    unanswered = isinstance(error, ConnectionError | HTTPClientError | IncompleteReadError | RetriesExceededError)
    return (Away if unanswered else Refused)(key, str(error))
