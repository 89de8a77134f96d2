"""Sends the requests of batches to the engine, when nobody else needs it; waits for an engine that is away.

Each answer is committed by itself, under the worker's lease. Whoever takes a batch over goes on with the requests that
have none.
"""

import asyncio
import os
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids
from fettle.batches import endpoints, input_file, store
from fettle.datasets import files
from fettle.datasets.formats.checker import LIMITED
from fettle.errors import Fenced, FettleError
from fettle.inference import client
from fettle.inference.client import Servable
from fettle.inference.usage import counted
from fettle.storage import Missing, deletions
from models import Batch, BatchAnswer, BatchStatus, File
from worker.attempts.resources import Resources
from worker.background import turns
from worker.background.requests import Background
from worker.background.turns import Lease

log = structlog.get_logger()

LEASE_SECONDS = 30.0
AT_ONCE = 4  # requests of one batch: the engine answers other people too
TURN_SECONDS = 60.0  # after which another batch goes on, if one waits
CHECK_SECONDS, CHECK_SECONDS_PER_BYTE, CHECK_MEMORY = 30, 1e-6, 1 << 30
PAGE = 500  # answers that are read at a time
FOLDER = "batches"  # in the data folder: the input files of this worker's batches

Line = dict[str, Any]


async def serve(resources: Resources, woken: asyncio.Event) -> None:
    """One batch after another, for ever."""
    owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"

    async def claim(session: AsyncSession) -> Batch | None:
        return await store.claim(session, owner, LEASE_SECONDS)

    await turns.serve(resources, woken, claim, work, "batch_not_answered")


async def work(resources: Resources, batch: Batch) -> None:
    """One turn of a batch: until it ends, or until another waits."""
    turn = Turn(resources, batch)
    folder = resources.settings.data / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{batch.id}-{secrets.token_hex(4)}"
    try:
        async with turn.lease.kept(LEASE_SECONDS / 15):
            await turn.run(path)
    except Fenced:
        log.info("batch_gone", batch_id=batch.id)
    finally:
        await turn.background.close()
        path.unlink(missing_ok=True)
        async with resources.db.transaction() as session:
            await store.release(session, batch.id, turn.owner)


class Turn:
    """One worker's turn at one batch."""

    def __init__(self, resources: Resources, batch: Batch) -> None:
        self.resources, self.batch, self.owner = resources, batch, batch.owner or ""
        self.background = Background(resources, self.wait_for)
        self.status = batch.status
        self.lease = Lease(resources, batch.id, self.renew)
        self.ends_at = 0.0  # monotonic; a turn begins with the first request, not with the check of the file

    async def renew(self, session: AsyncSession, reason: str | None) -> None:
        self.status = await store.renew(session, self.batch.id, self.owner, LEASE_SECONDS, reason)

    async def run(self, path: Path) -> None:
        """Raises Fenced."""
        batch = self.batch
        if batch.status != BatchStatus.CANCELLING:
            if errors := await self.fetch(path):
                await self.refuse(errors)
                return
            if batch.servables is None and (errors := await self.check(path)):
                await self.refuse(errors)
                return
            if not await self.answer_all(path):
                return  # another batch's turn
        late = self.status != BatchStatus.CANCELLING and batch.expires_at <= time.time()
        expired = late and await self.expire(path)
        await self.conclude(BatchStatus.EXPIRED if expired else BatchStatus.COMPLETED, path)

    async def refuse(self, errors: list[Line]) -> None:
        async with self.resources.db.transaction() as session:
            await store.refuse(session, self.batch.id, self.owner, errors)

    async def fetch(self, path: Path) -> list[Line]:
        """Errors when the input file is gone."""
        try:
            async with self.resources.db.snapshot() as session:
                file = await session.get(File, self.batch.input_file)
            if file is None:
                raise Missing(self.batch.input_file)
            await self.resources.storage.get_file(file.storage_key, path)
        except Missing:
            message = f"The input file {self.batch.input_file!r} is no longer there. Upload it and create a new batch."
            return [input_file.problem(None, message, "file_not_found", "input_file_id")]
        return []

    async def check(self, path: Path) -> list[Line]:
        """What is wrong with the input file; when nothing is, the batch begins."""
        size = path.stat().st_size
        seconds = CHECK_SECONDS + CHECK_SECONDS_PER_BYTE * size
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "fettle.batches.input_file", str(path.absolute()), self.batch.endpoint),
            *(str(self.resources.settings.max_row_bytes), str(CHECK_MEMORY), str(seconds)),
            stdout=asyncio.subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if not name.startswith("FETTLE_")} | LIMITED,
        )
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            message = "Checking the file took too much time or memory. Split it into smaller files."
            return [input_file.problem(None, message, "too_complex", "input_file_id")]
        found = orjson.loads(output)
        errors: list[Line] = found["errors"]
        servables = {}
        async with self.resources.db.snapshot() as session:
            for name, line in found["models"].items():
                try:
                    servables[name] = asdict(await self.find(session, name))
                except FettleError as error:
                    errors.append(input_file.problem(line, error.message, error.code, "body.model"))
        if not errors:
            async with self.resources.db.transaction() as session:
                await store.begin(session, self.batch.id, self.owner, found["total"], servables)
            self.batch.total, self.batch.servables = found["total"], servables
        return errors

    async def find(self, session: Any, name: str) -> Servable:
        alias = self.resources.settings.model_aliases.get(name, name)
        return await client.find(session, self.batch.project_id, alias, self.resources.models)

    async def requests(self, path: Path) -> AsyncIterator[tuple[int, Line]]:
        """Those without an answer; the lines have passed the check."""
        async with self.resources.db.snapshot() as session:
            done = await store.answered(session, self.batch.id)
        for number, line in input_file.lines(path):
            if number not in done:
                yield number, orjson.loads(line)
            elif number % PAGE == 0:
                await asyncio.sleep(0)

    async def answer_all(self, path: Path) -> bool:
        """Whether there is nothing left to answer, or no time. Raises Fenced."""
        running: set[asyncio.Task[None]] = set()
        self.ends_at = time.monotonic() + TURN_SECONDS
        try:
            async for number, row in self.requests(path):
                if len(running) >= AT_ONCE:
                    running = await self.some_of(running)
                if self.over:
                    break
                if await self.turn_is_over():
                    return False
                running.add(asyncio.create_task(self.answer(number, row)))
            while running and not self.over:
                if await self.turn_is_over():
                    return False
                running = await self.some_of(running)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        if self.lease.gone:
            raise Fenced(self.batch.id)
        return True

    @property
    def over(self) -> bool:
        return self.lease.gone or self.status == BatchStatus.CANCELLING or self.batch.expires_at <= time.time()

    async def some_of(self, running: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
        """Those that still run, when one has ended or a second has passed. Raises what one raised."""
        ended, left = await asyncio.wait(running, timeout=1, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
        return left

    async def turn_is_over(self) -> bool:
        if time.monotonic() <= self.ends_at:
            return False
        async with self.resources.db.snapshot() as session:
            return await store.others_wait(session)

    async def answer(self, number: int, row: Line) -> None:
        """Raises Fenced."""
        status, body = await self.patiently(row)
        line = output_line(row["custom_id"], {"status_code": status, "request_id": ids.new("req_"), "body": body}, None)
        answer = BatchAnswer(batch_id=self.batch.id, number=number, failed=status != 200, line=line)
        async with self.resources.db.transaction() as session:
            await store.record(session, self.batch.id, self.owner, answer, counted(body.get("usage") or {}))

    async def patiently(self, row: Line) -> tuple[int, Line]:
        """Status and body of the answer."""
        asked = endpoints.read(self.batch.endpoint, row["body"])
        servable = Servable(**(self.batch.servables or {})[asked.model])
        status, body = await self.background.ask(servable, asked.body, asked.path)
        return status, asked.answer(body) if status == 200 else asked.refusal(body)

    def wait_for(self, reason: str | None) -> None:
        """Whoever looks at the batch sees at once why nothing happens, and that it goes on."""
        self.lease.wait_for(reason and f"{reason} The batch continues when the engine is back.")

    async def expire(self, path: Path) -> bool:
        """Every request without an answer gets a line in the error file; whether there is one. Raises Fenced."""
        error = {
            "code": "batch_expired",
            "message": "The completion window ended before this request was answered. Send it in a new batch.",
        }
        lines = [(number, row["custom_id"]) async for number, row in self.requests(path)]
        for start in range(0, len(lines), PAGE):
            async with self.resources.db.transaction() as session:
                for number, custom_id in lines[start : start + PAGE]:
                    line = output_line(custom_id, None, error)
                    answer = BatchAnswer(batch_id=self.batch.id, number=number, failed=True, line=line)
                    await store.record(session, self.batch.id, self.owner, answer, {})
        return bool(lines)

    async def conclude(self, to: BatchStatus, path: Path) -> None:
        """Writes the files, and ends the batch. Raises Fenced."""
        made: dict[str, File] = {}
        for attribute, failed in (("output_file", False), ("error_file", True)):
            target = path.with_name(f"{path.name}-{attribute}")
            try:
                if (size := await self.write(target, failed)) == 0:
                    continue
                name = f"{self.batch.id}_{'error' if failed else 'output'}.jsonl"
                file = files.new(self.batch.project_id, name, store.OUTPUT, size)
                file.created_by = self.batch.created_by
                async with self.resources.db.transaction() as session:  # first: no object stays without its row
                    await deletions.plan(session, file.storage_key, seconds=deletions.UPLOAD_SECONDS)
                await self.resources.storage.put_file(file.storage_key, target)
                made[attribute] = file
            finally:
                target.unlink(missing_ok=True)
        async with self.resources.db.transaction() as session:
            await store.conclude(session, self.batch.id, self.owner, to, made)

    async def write(self, target: Path, failed: bool) -> int:
        """Bytes that were written."""
        after = 0
        with target.open("wb") as file:
            while True:
                async with self.resources.db.snapshot() as session:
                    rows = await store.page_of_answers(session, self.batch.id, failed, after, PAGE)
                if not rows:
                    return file.tell()
                await asyncio.to_thread(file.write, b"".join(line.encode() + b"\n" for _, line in rows))
                after = rows[-1][0]


def output_line(custom_id: str, response: Line | None, error: Line | None) -> str:
    line = {"id": ids.new("batch_req_"), "custom_id": custom_id, "response": response, "error": error}
    return orjson.dumps(line).decode()
