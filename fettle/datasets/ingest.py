"""A dataset on its way in: written aside as it comes, and validated off the event loop while it comes.

A small one is validated in a thread, once it is whole. A large one would keep the interpreter's lock from the event
loop for seconds: it gets a process of its own, which follows the file while it grows.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType

from fettle.datasets.formats.checker import END
from fettle.datasets.formats.validation import Report, validate

IN_THREAD = 2 << 20  # bytes of a file that a thread validates in a blink
FLUSH = 1 << 20  # bytes that are held before they are written
STEP = 8 << 20  # bytes after which the process is told of more


class CheckFailed(RuntimeError):
    """The validating process died."""


class Upload:
    """`write` takes what a parser hands over; `chunks` makes the client wait for the disk.

    slots: how many processes may validate at once, in this process. Nothing is left behind when the context ends.
    """

    def __init__(self, path: Path, slots: asyncio.Semaphore, max_row_bytes: int) -> None:
        self.path, self.slots, self.max_row_bytes = path, slots, max_row_bytes
        self.size = self.told = 0  # bytes on disk, bytes that the process knows of
        self.held: list[bytes] = []
        self.held_bytes = 0
        self.writing: asyncio.Future[None] | None = None
        self.process: asyncio.subprocess.Process | None = None

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
        if self.process is None and self.size > IN_THREAD and not self.slots.locked():
            await self._start()
        if self.process is not None and self.size - self.told >= STEP:
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

    async def report(self) -> Report:
        """What validation finds in the whole file. Raises CheckFailed."""
        await self._flush()
        await self._written()
        if self.process is None and self.size <= IN_THREAD:
            return await asyncio.to_thread(validate, self.path, max_row_bytes=self.max_row_bytes)
        if self.process is None:
            await self._start()
        assert self.process is not None and self.process.stdout is not None  # noqa: S101 — started with a pipe
        await self._tell(b"%d\n" % self.size + END)
        said = await self.process.stdout.read()
        if status := await self.process.wait():
            raise CheckFailed(f"the process that validates {self.path.name} ended with status {status}")
        await self._stop()
        return Report.model_validate_json(said)

    async def _start(self) -> None:
        await self.slots.acquire()
        try:
            self.process = await asyncio.create_subprocess_exec(
                *(
                    sys.executable,
                    "-m",
                    "fettle.datasets.formats.checker",
                    str(self.path.absolute()),
                    str(self.max_row_bytes),
                ),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={name: value for name, value in os.environ.items() if not name.startswith("FETTLE_")},
            )
        except BaseException:
            self.slots.release()
            raise

    async def _tell(self, news: bytes) -> None:
        """A process that has seen enough of the file, or died, need not listen."""
        assert self.process is not None and self.process.stdin is not None  # noqa: S101 — started with a pipe
        self.told = self.size
        try:
            self.process.stdin.write(news)
            await self.process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            return

    async def _stop(self) -> None:
        if self.process is None:
            return
        process, self.process = self.process, None
        if process.returncode is None:
            process.kill()
            await process.wait()
        self.slots.release()
