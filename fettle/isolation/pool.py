"""Runs work outside of the event loop's process, with an end to its time and its memory."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from typing import Any

import orjson

from fettle import errors
from fettle.bounded_work import Exhausted, Overrun
from fettle.datasets.formats.checker import LIMITED
from fettle.errors import FettleError, Unavailable
from fettle.isolation.process import BUG, HEADER, NO_MEMORY, READY, REFUSAL, RESULT
from fettle.slots import Slots

SECONDS = 5.0
MEMORY = 512 << 20  # bytes beyond what the libraries take
ANSWER_AT_MOST = 64 << 20  # bytes
START_SECONDS = 60.0  # for what all its work needs, on a busy machine
GRACE_SECONDS = 2  # for an answer that is on its way when the time is over
FULL_SECONDS = 0.01  # between tries while the process is behind with its orders


class Broken(RuntimeError):
    """A bug in the work."""


class Pool:
    def __init__(self, at_once: int | None = None) -> None:
        self.slots = Slots(at_once or max(2, os.cpu_count() or 1))
        self.process: subprocess.Popen[bytes] | None = None
        self.control: socket.socket | None = None
        self.starting = asyncio.Lock()

    async def run(
        self,
        work: str,
        project: str,
        argument: Any = None,
        content: bytes = b"",
        *,
        seconds: float = SECONDS,
        memory: int = MEMORY,
    ) -> bytes:
        """What WORK[work] returns. Raises its FettleError; Overrun, Exhausted; Unavailable when no slot is free."""
        async with self.slots.of(project):
            ours, theirs = socket.socketpair()
            with ours:
                ours.setblocking(False)
                with theirs:
                    await self._order(orjson.dumps({"work": work, "seconds": seconds, "memory": memory}), theirs)
                return await self._converse(ours, orjson.dumps(argument), content, seconds)

    async def _converse(self, peer: socket.socket, argument: bytes, content: bytes, seconds: float) -> bytes:
        loop, began = asyncio.get_running_loop(), time.monotonic()
        try:
            async with asyncio.timeout(seconds + GRACE_SECONDS):
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    for part in (argument, content):
                        await loop.sock_sendall(peer, HEADER.pack(RESULT, len(part)))
                        await loop.sock_sendall(peer, part)
                kind, size = HEADER.unpack(await exactly(peer, HEADER.size))
                body = await exactly(peer, min(size, ANSWER_AT_MOST + 1))
        except TimeoutError as error:
            raise Overrun from error
        except (EOFError, ConnectionResetError) as error:
            late = time.monotonic() - began >= seconds - GRACE_SECONDS / 4
            raise (Overrun if late else Exhausted) from error
        return decode(kind, body)

    async def start(self) -> None:
        """So that the first request does not wait for it."""
        async with self.starting:
            if self.process is None or self.process.poll() is not None:
                self._forget()
                self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                self.control.setblocking(False)
                with theirs:
                    self.process = await asyncio.to_thread(spawn, theirs.fileno())
                await self._loaded(self.control)

    async def _loaded(self, control: socket.socket) -> None:
        """Its libraries take seconds to load, which must not count as a request's time. Raises Unavailable."""
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            async with asyncio.timeout(START_SECONDS):
                if await asyncio.get_running_loop().sock_recv(control, len(READY)) == READY:
                    return
        await self.close()
        raise Unavailable("The process that checks requests did not start. Try again; the API's log says why.")

    async def _order(self, order: bytes, descriptor: socket.socket) -> None:
        while True:
            await self.start()
            assert self.control is not None  # noqa: S101 — it was started
            try:
                socket.send_fds(self.control, [order], [descriptor.fileno()])
                return
            except BlockingIOError:
                await asyncio.sleep(FULL_SECONDS)
            except (BrokenPipeError, ConnectionResetError):
                assert self.process is not None  # noqa: S101 — it was started
                self.process.kill()
                await asyncio.to_thread(self.process.wait)

    def _forget(self) -> None:
        if self.control is not None:
            self.control.close()
        self.control = self.process = None

    async def close(self) -> None:
        process = self.process
        self._forget()
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.wait)


def spawn(descriptor: int) -> "subprocess.Popen[bytes]":
    env = {name: value for name, value in os.environ.items() if not name.startswith("FETTLE_")}  # no secrets
    env |= LIMITED
    return subprocess.Popen(
        [sys.executable, "-m", "fettle.isolation.process", str(descriptor)],
        pass_fds=(descriptor,),
        stdin=subprocess.DEVNULL,
        env=env,
    )


async def exactly(peer: socket.socket, size: int) -> bytes:
    loop, body = asyncio.get_running_loop(), bytearray()
    while len(body) < size:
        part = await loop.sock_recv(peer, min(1 << 18, size - len(body)))
        if not part:
            raise EOFError
        body += part
    return bytes(body)


def decode(kind: bytes, body: bytes) -> bytes:
    if kind == RESULT and len(body) <= ANSWER_AT_MOST:
        return body
    if kind in (NO_MEMORY, RESULT):
        raise Exhausted
    if kind == REFUSAL:
        details = orjson.loads(body)
        refusal: type[FettleError] = getattr(errors, details["kind"])
        raise refusal(details["message"], code=details["code"], param=details["param"])
    assert kind == BUG  # noqa: S101 — the only kind left
    raise Broken(body.decode())
