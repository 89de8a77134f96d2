"""Storage in an S3 bucket, through boto3 on threads. Large streams go up in parts and appear when complete."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from fettle.settings import Settings
from fettle.storage.protocol import Missing

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import CompletedPartTypeDef

PART = 8 << 20  # S3 wants parts of 5 MiB or more


class S3Storage:
    def __init__(self, settings: Settings) -> None:
        url = urlsplit(settings.storage)
        self.bucket = url.netloc
        self.prefix = f"{url.path.strip('/')}/" if url.path.strip("/") else ""
        secret = settings.s3_secret_access_key
        self.client = boto3.client(
            "s3",
            endpoint_url=settings.s3_endpoint,
            region_name=settings.s3_region,
            aws_access_key_id=settings.s3_access_key_id,
            aws_secret_access_key=secret.get_secret_value() if secret else None,
            config=Config(retries={"max_attempts": 8, "mode": "adaptive"}, max_pool_connections=32, connect_timeout=5),
        )

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> int:
        name = self.prefix + key
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
        except BaseException:
            if upload is not None:
                with contextlib.suppress(ClientError, BotoCoreError):  # what broke the upload is the error to tell
                    await asyncio.to_thread(
                        self.client.abort_multipart_upload, Bucket=self.bucket, Key=name, UploadId=upload
                    )
            raise
        return size

    async def put_file(self, key: str, path: Path, *, keep: bool = True) -> None:
        await asyncio.to_thread(self.client.upload_file, str(path), self.bucket, self.prefix + key)

    async def get_file(self, key: str, path: Path) -> None:
        try:
            await asyncio.to_thread(self.client.download_file, self.bucket, self.prefix + key, str(path))
        except ClientError as error:
            raise missing_or(error, key) from error

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        try:
            answer = await asyncio.to_thread(self.client.get_object, Bucket=self.bucket, Key=self.prefix + key)
        except ClientError as error:
            raise missing_or(error, key) from error
        body = answer["Body"]
        try:
            while chunk := await asyncio.to_thread(body.read, 1 << 20):
                yield chunk
        finally:
            body.close()

    async def read(self, key: str) -> bytes:
        return b"".join([chunk async for chunk in self.stream(key)])

    async def list(self, prefix: str) -> list[str]:
        def pages() -> list[str]:
            paginator = self.client.get_paginator("list_objects_v2")
            return sorted(
                item["Key"].removeprefix(self.prefix)
                for page in paginator.paginate(Bucket=self.bucket, Prefix=self.prefix + prefix)
                for item in page.get("Contents", [])
            )

        keys = await asyncio.to_thread(pages)
        return [key for key in keys if key == prefix or key.startswith(prefix + "/")]

    async def delete(self, prefix: str) -> None:
        for key in await self.list(prefix):
            await asyncio.to_thread(self.client.delete_object, Bucket=self.bucket, Key=self.prefix + key)


def missing_or(error: ClientError, key: str) -> Exception:
    absent = error.response.get("Error", {}).get("Code") in ("404", "NoSuchKey")
    return Missing(key) if absent else error
