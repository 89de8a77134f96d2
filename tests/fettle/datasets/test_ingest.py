"""A dataset that is validated while it comes: the same report, nothing left behind, the event loop free."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from fettle.datasets import ingest
from fettle.datasets.formats.validation import validate
from fettle.datasets.ingest import CheckFailed, Checks, Upload
from tests.fettle.datasets.formats.given import ASSISTANT, GOOD, USER, chat, message
from tests.fettle.datasets.formats.test_tables import parquet

LIMIT = 1 << 20
BAD = chat(message("human", "x"), ASSISTANT)
LONG = chat(USER, message("assistant", "x" * 2000))  # what counts is the size: a few thousand rows are read quickly
LARGE = LONG * (4 * ingest.SMALL // len(LONG))


async def pieces(content: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def send(upload: Upload, content: bytes) -> None:
    async for chunk in upload.chunks(pieces(content)):
        upload.write(chunk)


@pytest.fixture
def slots() -> Checks:
    return Checks(1)


@pytest.mark.parametrize(
    "content",
    [
        GOOD * 20,
        b"",
        LARGE,
        LARGE + BAD + GOOD,
        LARGE[:-9],
        b"prompt,completion\n" + (b"a" * 1000 + b",b\n") * (2 * ingest.SMALL // 1000) + b"c\n",
        parquet([{"messages": [USER, {**ASSISTANT, "content": os.urandom(5000).hex()}]} for _ in range(600)]),
    ],
    ids=["small", "empty", "large", "a bad row", "cut off", "csv", "parquet"],
)
async def test_the_report_is_that_of_the_file_at_rest(content: bytes, slots: Checks, tmp_path: Path) -> None:
    at_rest = tmp_path / "at-rest"
    at_rest.write_bytes(content)
    async with Upload(tmp_path / "aside", slots, LIMIT) as upload:
        await send(upload, content)
        found, expected = await upload.report(), validate(at_rest, max_row_bytes=LIMIT)
        untimed = {"quality": None}  # of as many rows as its seconds allow
        assert found.model_copy(update=untimed) == expected.model_copy(update=untimed)
        assert (tmp_path / "aside").read_bytes() == content
    assert not (tmp_path / "aside").exists()
    assert not slots.locked()


async def test_a_large_file_is_validated_while_it_comes(slots: Checks, tmp_path: Path) -> None:
    async with Upload(tmp_path / "aside", slots, LIMIT) as upload:
        await send(upload, LARGE)
        assert upload.process is not None
        assert slots.locked()
        assert (await upload.report()).rows == len(LARGE) // len(LONG)


async def test_a_client_that_goes_away_leaves_no_process_and_no_file(slots: Checks, tmp_path: Path) -> None:
    with pytest.raises(ConnectionError):
        async with Upload(tmp_path / "aside", slots, LIMIT) as upload:
            await send(upload, LARGE * 4)
            assert upload.process is not None
            process = psutil.Process(upload.process.pid)
            for _ in range(1000):
                if helpers := process.children(recursive=True):
                    break
                await asyncio.sleep(0.01)
            assert helpers or os.cpu_count() == 1
            raise ConnectionError
    _, alive = psutil.wait_procs([process, *helpers], timeout=60)
    assert alive == []
    assert list(tmp_path.iterdir()) == []
    assert not slots.locked()


async def test_a_validating_process_that_dies_is_an_error_and_no_good_report(slots: Checks, tmp_path: Path) -> None:
    async with Upload(tmp_path / "aside", slots, LIMIT) as upload:
        await send(upload, LARGE)
        assert upload.process is not None
        upload.process.kill()
        with pytest.raises(CheckFailed, match="status -9"):
            await upload.report()
    assert not slots.locked()


async def test_uploads_beyond_the_slots_are_written_and_wait_their_turn(slots: Checks, tmp_path: Path) -> None:
    async with Upload(tmp_path / "a", slots, LIMIT) as first, Upload(tmp_path / "b", slots, LIMIT) as second:
        await send(first, LARGE)
        await send(second, LARGE + BAD)
        assert first.process is not None
        assert second.process is None
        reports = await asyncio.gather(second.report(), first.report())
    assert [report.error_count for report in reports] == [1, 0]


async def test_the_validating_process_knows_no_secret(
    slots: Checks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FETTLE_SECRET", "canary")
    async with Upload(tmp_path / "aside", slots, LIMIT) as upload:
        await send(upload, LARGE)
        assert upload.process is not None
        assert "canary" not in str(psutil.Process(upload.process.pid).environ())


@pytest.mark.slow
async def test_the_event_loop_goes_on_while_a_file_is_validated(slots: Checks, tmp_path: Path) -> None:
    """Thousands of turns of the loop: a validation in a thread leaves it a few hundred."""
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with Upload(tmp_path / "aside", slots, LIMIT) as upload:
        await send(upload, GOOD * (40 * ingest.SMALL // len(GOOD)))
        turning = asyncio.create_task(turn())
        await upload.report()
        turning.cancel()
    assert turns > 2000
