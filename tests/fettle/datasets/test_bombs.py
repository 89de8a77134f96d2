"""Small files that unpack to a lot: refused in bounded time and memory, and never in the process that asks."""

import asyncio
import bz2
import gzip
import lzma
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.parquet_bombs import many_rows, shared_text
from fettle.datasets import ingest
from fettle.datasets.formats import delimited, parquet
from fettle.datasets.formats.validation import Report, validate
from fettle.datasets.ingest import Checks, Upload
from fettle.isolation.pool import Pool
from tests.fettle.datasets.formats.given import GOOD
from tests.fettle.datasets.formats.test_tables import parquet as written

LIMIT = 1 << 20


async def checked(folder: Path, content: bytes, pool: Pool | None = None) -> Report:
    async with Upload(folder / "aside", Checks(1), LIMIT, pool=pool) as upload:
        upload.write(content)
        return await upload.report()


def code(report: Report) -> str:
    assert not report.ok
    assert "{" not in report.summary()
    return report.errors[0].code


async def test_one_text_that_all_rows_share_ends_by_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "MEMORY", 300 << 20)
    bomb = shared_text()
    assert len(bomb) < 20_000
    assert code(await checked(tmp_path, bomb)) in ("validation_too_large", "parquet_too_large")
    pool = Pool(1)
    assert code(await checked(tmp_path, bomb, pool)) in ("validation_too_large", "parquet_too_large")
    assert code(await checked(tmp_path, written([{"prompt": 1}]), pool)) != "validation_too_large"  # it still works
    await pool.close()


def test_rows_without_bytes_are_counted_before_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "bomb").write_bytes(many_rows(100_001))
    assert code(validate(tmp_path / "bomb", max_row_bytes=LIMIT)) == "parquet_too_many_rows"


def test_what_it_unpacks_to_is_counted_as_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "UNPACKED_WITHOUT_PROOF", 1 << 20)
    rows: list[dict[str, Any]] = [{"prompt": "x" * 1000, "completion": "y"}] * 3000
    (tmp_path / "bomb").write_bytes(written(rows))
    assert code(validate(tmp_path / "bomb", max_row_bytes=LIMIT)) == "parquet_too_large"
    (tmp_path / "plain").write_bytes(written(rows[:900]))
    assert validate(tmp_path / "plain", max_row_bytes=LIMIT).ok


def test_a_header_that_every_row_would_repeat_has_a_limit(tmp_path: Path) -> None:
    names = ",".join(["prompt", *(f"{'x' * 200}{number}" for number in range(400))])
    (tmp_path / "bomb").write_text(names + "\n" + "y" + "," * 400 + "\n")
    assert code(validate(tmp_path / "bomb", max_row_bytes=LIMIT)) == "csv_header_too_long"


def test_short_records_with_long_names_are_counted_as_they_unpack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "UNPACKED_WITHOUT_PROOF", 1 << 20)
    header = ",".join(["prompt", *(f"{'x' * 200}{number}" for number in range(200))]) + "\n"
    record = "y" + "," * 200 + "\n"  # 202 bytes for 40,000 of names
    (tmp_path / "bomb").write_text(header + record * 2000)
    assert code(validate(tmp_path / "bomb", max_row_bytes=LIMIT)) == "csv_too_large"
    (tmp_path / "plain").write_text("prompt,answer\n" + "y,z\n" * 100_000)
    assert validate(tmp_path / "plain", max_row_bytes=LIMIT).ok


def test_too_many_columns_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bomb").write_text("prompt" + ",a" * 1000 + "\ny" + "," * 1000 + "\n")
    assert code(validate(tmp_path / "bomb", max_row_bytes=LIMIT)) == "csv_without_header"


def test_records_without_text_take_no_memory(tmp_path: Path) -> None:
    (tmp_path / "bomb").write_bytes(b"prompt,completion\n" + b",\n" * 50_000 + b"x,y\n")
    tracemalloc.start()
    report = validate(tmp_path / "bomb", max_row_bytes=LIMIT)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (report.ok, report.rows) == (True, 1)
    assert peak < 1 << 20  # an empty list for each record would take more


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_packed_file_is_never_unpacked(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    (tmp_path / "bomb").write_bytes(pack(GOOD * 50_000))
    tracemalloc.start()
    found = code(validate(tmp_path / "bomb", max_row_bytes=LIMIT))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found in ("gzip_file", "bzip2_file", "xz_file")
    assert peak < 1 << 20


async def test_a_file_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "SECONDS", 0.001)
    monkeypatch.setattr(ingest, "SECONDS_PER_BYTE", 0.0)
    assert code(await checked(tmp_path, GOOD * 2000)) == "validation_too_slow"


async def test_uploads_that_stall_keep_no_whole_file_waiting(tmp_path: Path) -> None:
    checks = Checks(1)

    async def stall(path: Path) -> None:
        async with Upload(path, checks, LIMIT) as upload:
            for _ in range(4):
                upload.write(GOOD * (ingest.SMALL // len(GOOD)))
                await upload._flush()
            stalled.set()
            await asyncio.sleep(60)

    stalled = asyncio.Event()
    slow = asyncio.create_task(stall(tmp_path / "slow"))
    await stalled.wait()
    assert checks.following.locked()
    async with Upload(tmp_path / "whole", checks, LIMIT) as upload:
        upload.write(GOOD * (2 * ingest.SMALL // len(GOOD)))
        assert (await asyncio.wait_for(upload.report(), 30)).ok
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)
    assert not checks.locked()
