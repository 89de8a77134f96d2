import io
import os
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.streams import zips
from fettle.storage import LocalStorage, Missing

CONTENT = {"small.json": b"{}", "empty": b"", "weights.safetensors": os.urandom(3 << 20)}


@pytest.fixture
async def storage(tmp_path: Path) -> LocalStorage:
    kept = LocalStorage(str(tmp_path))
    for name, content in CONTENT.items():

        async def once(content: bytes = content) -> AsyncIterator[bytes]:
            yield content

        await kept.put(f"a/{name}", once())
    return kept


async def test_the_archive_holds_the_files_byte_for_byte(storage: LocalStorage) -> None:
    sent = b"".join([chunk async for chunk in zips.stream(storage, "a", list(CONTENT))])
    archive = zipfile.ZipFile(io.BytesIO(sent))
    assert archive.testzip() is None
    assert {name: archive.read(name) for name in archive.namelist()} == CONTENT


async def test_no_more_than_a_chunk_is_held(storage: LocalStorage) -> None:
    sizes = [len(chunk) async for chunk in zips.stream(storage, "a", ["weights.safetensors"])]
    assert len(sizes) > 3
    assert max(sizes) < (1 << 20) + 1024


async def test_the_same_files_make_the_same_archive(storage: LocalStorage) -> None:
    first, second = [b"".join([chunk async for chunk in zips.stream(storage, "a", list(CONTENT))]) for _ in range(2)]
    assert first == second


async def test_an_adapter_of_no_files_is_an_empty_archive(storage: LocalStorage) -> None:
    sent = b"".join([chunk async for chunk in zips.stream(storage, "a", [])])
    assert zipfile.ZipFile(io.BytesIO(sent)).namelist() == []


async def test_a_file_that_is_gone_is_an_error_and_no_shorter_archive(storage: LocalStorage) -> None:
    with pytest.raises(Missing):
        [chunk async for chunk in zips.stream(storage, "a", ["small.json", "gone"])]


async def test_an_entry_may_outgrow_four_gigabytes(storage: LocalStorage) -> None:
    sent = b"".join([chunk async for chunk in zips.stream(storage, "a", ["small.json"])])
    (entry,) = zipfile.ZipFile(io.BytesIO(sent)).infolist()
    assert entry.extract_version >= zipfile.ZIP64_VERSION
