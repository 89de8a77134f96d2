from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from fettle.storage import LocalStorage
from tests.fettle.storage.streams import chunks


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
