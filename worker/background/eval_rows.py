"""Where the rows of an eval's run come from: its request, a file, or stored completions."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from fettle.evals import rows
from fettle.evals.rows import BadRow, Row
from fettle.inference import stored_completions
from fettle.storage import Missing
from models import EvalRun, File
from worker.attempts.resources import Resources


class Source(Protocol):
    """total: rows. chunks: of at most `size` rows that are not `done`, with their numbers."""

    @property
    def total(self) -> int: ...

    def chunks(self, done: set[int], size: int) -> AsyncIterator[list[tuple[int, Row]]]: ...


async def opened(resources: Resources, run: EvalRun, path: Path) -> Source:
    """path: for a copy of the file. Raises BadRow."""
    asked = run.data_source["asked"]["source"]
    if asked["type"] == rows.STORED:
        found = run.data_source["completions"]
        return Completions(resources, run.project_id, found, len(found))
    file = await fetch(resources, run, asked["id"], path) if asked["type"] == "file_id" else None
    longest = resources.settings.max_row_bytes
    total = await asyncio.to_thread(lambda: sum(1 for _ in rows.rows(asked, file, longest)))
    return Lines(asked, file, longest, total)


@dataclass(frozen=True)
class Lines:
    """Of the request, or of a file."""

    asked: dict[str, Any]
    file: Path | None
    longest: int
    total: int

    async def chunks(self, done: set[int], size: int) -> AsyncIterator[list[tuple[int, Row]]]:
        numbered = enumerate(rows.rows(self.asked, self.file, self.longest))
        left = (each for each in numbered if each[0] not in done)
        while chunk := await asyncio.to_thread(lambda: list(islice(left, size))):
            yield chunk


@dataclass(frozen=True)
class Completions:
    """Those that matched when the run was created; what was deleted since is a row with an error."""

    resources: Resources
    project_id: str
    found: list[str]
    total: int

    async def chunks(self, done: set[int], size: int) -> AsyncIterator[list[tuple[int, Row]]]:
        left = (each for each in enumerate(self.found) if each[0] not in done)
        while chunk := list(islice(left, size)):
            async with self.resources.db.snapshot() as session:
                there = await stored_completions.some(session, self.project_id, [name for _, name in chunk])
            yield [(number, rows.of_completion(name, there.get(name))) for number, name in chunk]


async def fetch(resources: Resources, run: EvalRun, file_id: str, path: Path) -> Path:
    try:
        async with resources.db.snapshot() as session:
            file = await session.get(File, file_id)
        if file is None or file.project_id != run.project_id:
            raise Missing(file_id)
        await resources.storage.get_file(file.storage_key, path)
    except Missing as error:
        raise BadRow(f"The file {file_id!r} is no longer there. Upload it and create a new run.") from error
    return path
