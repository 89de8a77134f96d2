"""What storage is given, and the settings of one on S3."""

from collections.abc import AsyncIterator

from pydantic import SecretStr

from fettle.settings import Settings


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
