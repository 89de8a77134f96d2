"""Uploads in parts by the unmodified SDK."""

import hashlib
import io

import pytest
from openai import OpenAI

from tests.api.tenants import jsonl

pytestmark = pytest.mark.slow  # starts a server for the SDK

ROWS = jsonl(5000)


def test_create_parts_complete_and_cancel(client: OpenAI) -> None:
    upload = client.uploads.create(
        bytes=len(ROWS), filename="big.jsonl", mime_type="application/jsonl", purpose="fine-tune"
    )
    half = len(ROWS) // 2
    parts = [client.uploads.parts.create(upload.id, data=io.BytesIO(piece)).id for piece in (ROWS[:half], ROWS[half:])]
    done = client.uploads.complete(upload.id, part_ids=parts, md5=hashlib.md5(ROWS).hexdigest())  # noqa: S324
    assert done.status == "completed" and done.file is not None
    assert client.files.content(done.file.id).read() == ROWS
    other = client.uploads.create(bytes=10, filename="x.jsonl", mime_type="application/jsonl", purpose="batch")
    assert client.uploads.cancel(other.id).status == "cancelled"


def test_a_file_in_chunks(client: OpenAI) -> None:
    done = client.uploads.upload_file_chunked(
        file=ROWS, filename="big.jsonl", bytes=len(ROWS), mime_type="application/jsonl", purpose="fine-tune",
        part_size=50_000,
    )  # fmt: skip
    assert done.file is not None and done.file.status == "processed"
    assert client.files.content(done.file.id).read() == ROWS
