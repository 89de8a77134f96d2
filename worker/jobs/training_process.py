"""Training children: one process per run, forked from a server that has torch and TRL loaded.

Ready in milliseconds and a few MiB of its own, where a fresh interpreter needs seconds. Speaks JSON lines over a
socket pair; when either end dies, the other sees the end of the stream.
"""

import asyncio
import contextlib
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import orjson

from fettle.errors import TrainingFailed
from fettle.host.devices import Slot
from worker.environment import choose_devices
from worker.training.process import own_user
from worker.training.process.channel import LOST_RANK

LINE_LIMIT = 256 << 20  # bytes; a line holds at most a batch of rollouts, each with its row of the dataset

_starting = asyncio.Lock()  # the forkserver takes one request at a time


def child_main(folder: str, channel: socket.socket, slot: Slot) -> None:
    choose_devices(slot)
    own_user.become(Path(folder))
    from worker.training.__main__ import run

    run(folder, channel, slot.ranks, slot.gang)


def verifier_main(folder: str, channel: socket.socket, slot: Slot) -> None:
    choose_devices(slot)
    from worker.training.__main__ import verify

    verify(folder, channel)


Main = Callable[[str, socket.socket, Slot], None]


class ProcessLauncher:
    """Starts training processes. `warm` forks them from a server with the libraries loaded; else each loads them."""

    def __init__(self, warm: bool) -> None:
        self.context: ForkServerContext | SpawnContext = multiprocessing.get_context("spawn")
        if warm:
            self.context = multiprocessing.get_context("forkserver")
            self.context.set_forkserver_preload(["worker.training.process.forkserver"])
            multiprocessing.forkserver.ensure_running()

    async def start(self, folder: Path, slot: Slot, main: Main = child_main) -> "Child":
        ours, theirs = socket.socketpair()
        process: BaseProcess = self.context.Process(target=main, args=(str(folder), theirs, slot))
        try:
            async with _starting:
                await to_its_end(asyncio.to_thread(process.start))
            reader, writer = await asyncio.open_connection(sock=ours, limit=LINE_LIMIT)
        except BaseException:  # cancelled, say: nobody would know of the child
            if process.pid is not None:
                process.kill()
            ours.close()
            raise
        finally:
            theirs.close()
        return Child(process, reader, writer)


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """A cancellation waits for it: a thread cannot be called back."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


class Child:
    def __init__(self, process: BaseProcess, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.process, self.reader, self.writer = process, reader, writer

    async def lines(self, pause: float) -> AsyncIterator[dict[str, Any] | None]:
        """What the child says, until it closes its end; None whenever it says nothing for `pause` seconds.

        Raises TrainingFailed for more than can be taken at once.
        """
        while True:
            try:
                line = await asyncio.wait_for(self.reader.readline(), pause)
            except TimeoutError:
                yield None
                continue
            except ConnectionError:
                return
            except ValueError as error:  # asyncio's, of a line over its limit
                raise TrainingFailed(
                    "batch_too_large",
                    f"A batch of completions has more than {LINE_LIMIT >> 20} MiB with the rows of the dataset that "
                    "its graders see: shorten the rows, or lower batch_size or group_size.",
                    "training_file",
                ) from error
            if not line.endswith(b"\n"):  # the end, perhaps in the middle of a line
                return
            yield orjson.loads(line)

    def say(self, line: dict[str, Any]) -> None:
        with contextlib.suppress(ConnectionError):
            self.writer.write(orjson.dumps(line) + b"\n")

    async def exit_code(self) -> int:
        """Waits for the end; negative for a signal, as in subprocess."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self.process.sentinel, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self.process.sentinel)
        await asyncio.to_thread(self.process.join)
        return self.process.exitcode or 0

    async def kill(self) -> None:
        """The child and whatever it started: it leads a process group of its own."""
        if self.process.pid is not None and self.process.exitcode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getpgid(self.process.pid) == self.process.pid:
                    os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()
            await self.exit_code()
        self.writer.close()


def describe_exit(code: int) -> str:
    """For people: what an exit code most likely means."""
    if code == LOST_RANK:
        return "The training process ended because one of the processes that trained the job together died"
    if code >= 0:
        return f"The training process ended with exit code {code} before it was done"
    name = signal.Signals(-code).name
    hint = " (often: the machine ran out of memory)" if -code == signal.SIGKILL else ""
    return f"The training process was killed by {name}{hint}"
