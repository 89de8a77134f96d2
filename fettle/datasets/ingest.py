"""A dataset on its way in: written aside as it comes, and validated off the event loop while it comes.

Validation never runs in the API's process: a file of 500 bytes may unpack to gigabytes. A small file is checked in a
fork that is ready at once. A large one gets a process of its own, which follows the file while it grows.

A client that sends slowly keeps nobody waiting: slots are for files that have arrived. A process that follows a file
takes none until then; there are only so many of those, and a file without one is checked from its beginning.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType

from fettle.bounded_work import Exhausted, Overrun, Runner
from fettle.datasets.formats import checker
from fettle.datasets.formats.validation import Report, refused
from fettle.slots import Slots

SMALL = 2 << 20  # bytes of a file that is validated in a blink
FLUSH = 1 << 20  # bytes that are held before they are written
STEP = 8 << 20  # bytes after which the process hears of more


SECONDS, SECONDS_PER_BYTE = 30, 1e-6  # that a whole file's validation may take
MEMORY = 1 << 30  # bytes, of each process
KILLED_BY_TIMER = -signal.SIGALRM
OUT_OF_MEMORY = (checker.NO_MEMORY, -signal.SIGABRT, -signal.SIGSEGV)  # as libraries end without it


class CheckFailed(RuntimeError):
    """The validating process died."""


class Checks:
    """How much is validated at once, by one API process."""

    def __init__(self, at_once: int) -> None:
        self.whole = Slots(at_once, wait_seconds=600)
        self.following = asyncio.Semaphore(at_once)

    def locked(self) -> bool:
        return bool(self.whole.busy) or self.following.locked()


class Upload:
    """`write` takes what a parser hands over; `chunks` makes the client wait for the disk.

    project: whose turn it is. pool: for small files; None: these get a process as well. validates: False where no
    report is asked for. Nothing is left behind when the context ends.
    """

    def __init__(
        self,
        path: Path,
        checks: Checks,
        max_row_bytes: int,
        *,
        project: str = "",
        pool: Runner | None = None,
        validates: bool = True,
    ) -> None:
        self.path, self.checks, self.max_row_bytes = path, checks, max_row_bytes
        self.project, self.pool, self.validates = project, pool, validates
        self.size = self.announced = 0  # bytes on disk, bytes that the process knows of
        self.held: list[bytes] = []
        self.held_bytes = 0
        self.writing: asyncio.Future[None] | None = None
        self.process: asyncio.subprocess.Process | None = None
        self.follows = False

    async def __aenter__(self) -> "Upload":
        self.file = await asyncio.to_thread(self.path.open, "wb", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self.writing is not None:
                await asyncio.wait([self.writing])
            self.file.close()
            await self._stop()
        finally:
            self.path.unlink(missing_ok=True)

    def write(self, data: bytes) -> int:
        self.held.append(data)
        self.held_bytes += len(data)
        return len(data)

    async def chunks(self, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same chunks; the next one comes when what became of the ones before is on its way to the disk."""
        async for chunk in stream:
            yield chunk
            if self.held_bytes >= FLUSH:
                await self._flush()

    async def _flush(self) -> None:
        """Writes what is held, beside whatever comes next; waits for the write before."""
        await self._written()
        parts, self.held, self.held_bytes = self.held, [], 0
        self.writing = asyncio.ensure_future(asyncio.to_thread(self._append, parts))
        if self.validates and self.process is None and self.size > SMALL and not self.checks.following.locked():
            await self.checks.following.acquire()
            self.follows = True
            await self._start()
        if self.process is not None and self.size - self.announced >= STEP:
            await self._tell(b"%d\n" % self.size)

    async def _written(self) -> None:
        if self.writing is not None:
            writing, self.writing = self.writing, None
            await writing

    def _append(self, parts: list[bytes]) -> None:
        for part in parts:
            view = memoryview(part)
            while view:
                written = os.write(self.file.fileno(), view)
                view = view[written:]
            self.size += len(part)

    async def finish(self) -> None:
        """All is on the disk."""
        await self._flush()
        await self._written()

    async def report(self) -> Report:
        """What validation finds in the whole file. Raises CheckFailed."""
        await self.finish()
        async with self.checks.whole.of(self.project):
            if self.process is None and self.size <= SMALL and self.pool is not None:
                return await self._in_fork(self.pool)
            return await self._in_process()

    async def _in_fork(self, pool: Runner) -> Report:
        argument = {"path": str(self.path.absolute()), "max_row_bytes": self.max_row_bytes}
        try:
            found = await pool.run("validate", self.project, argument, seconds=SECONDS, memory=MEMORY)
        except Overrun:
            return refused("validation_too_slow", seconds=SECONDS)
        except Exhausted:
            return refused("validation_too_large", limit=MEMORY)
        return Report.model_validate_json(found)

    async def _in_process(self) -> Report:
        if self.process is None:
            await self._start()
        assert self.process is not None and self.process.stdout is not None  # noqa: S101 — started with a pipe
        await self._tell(b"%d\n" % self.size + checker.end(self._seconds()))
        output = await self.process.stdout.read()
        status = await self.process.wait()
        if status == KILLED_BY_TIMER:
            return refused("validation_too_slow", seconds=int(self._seconds()))
        if status in OUT_OF_MEMORY:
            return refused("validation_too_large", limit=MEMORY)
        if status:
            raise CheckFailed(f"the process that validates {self.path.name} ended with status {status}")
        await self._stop()
        return Report.model_validate_json(output)

    def _seconds(self) -> float:
        return SECONDS + self.size * SECONDS_PER_BYTE

    async def _start(self) -> None:
        checking = [sys.executable, "-m", "fettle.datasets.formats.checker"]
        self.process = await asyncio.create_subprocess_exec(
            *(*checking, str(self.path.absolute()), str(self.max_row_bytes), str(MEMORY)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if not name.startswith("FETTLE_")} | checker.LIMITED,
        )

    async def _tell(self, news: bytes) -> None:
        """A process that has seen enough of the file, or died, need not listen."""
        assert self.process is not None and self.process.stdin is not None  # noqa: S101 — started with a pipe
        self.announced = self.size
        try:
            self.process.stdin.write(news)
            await self.process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            return

    async def _stop(self) -> None:
        process, self.process = self.process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()
        if self.follows:
            self.follows = False
            self.checks.following.release()
