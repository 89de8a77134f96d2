"""Where the rows of an eval's run come from: its request, a file, or stored answers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from fettle.errors import InvalidRequest, NotFound
from fettle.evals import rows
from fettle.evals.rows import BadRow, Row
from fettle.inference import stored_completions, stored_responses
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
    if (read := READ.get(asked["type"])) is not None:
        found = run.data_source["stored"]
        return Stored(resources, run.project_id, found, len(found), read)
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
class Stored:
    """Those answers that matched when the run was created; what was deleted since is a row with an error."""

    resources: Resources
    project_id: str
    found: list[str]
    total: int
    read: "Read"

    async def chunks(self, done: set[int], size: int) -> AsyncIterator[list[tuple[int, Row]]]:
        left = (each for each in enumerate(self.found) if each[0] not in done)
        while chunk := list(islice(left, size)):
            async with self.resources.db.snapshot() as session:
                of = await self.read(self.resources, session, self.project_id, [name for _, name in chunk])
            yield [(number, row) for (number, _), row in zip(chunk, of, strict=True)]


async def completions(_: Resources, session: AsyncSession, project_id: str, names: Sequence[str]) -> list[Row]:
    there = await stored_completions.some(session, project_id, names)
    return [rows.of_completion(name, there.get(name)) for name in names]


async def responses(resources: Resources, session: AsyncSession, project_id: str, names: Sequence[str]) -> list[Row]:
    """With the conversations that they continue."""
    longest = resources.settings.max_body_bytes
    made = []
    for name in names:
        try:
            made.append(rows.of_response(name, await stored_responses.conversation(session, project_id, name, longest)))
        except (NotFound, InvalidRequest) as error:
            made.append(rows.of_response(name, error))
    return made


Read = Callable[[Resources, AsyncSession, str, Sequence[str]], Awaitable[list[Row]]]
READ: dict[str, Read] = {rows.STORED: completions, rows.RESPONSES: responses}


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
