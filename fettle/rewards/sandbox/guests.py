"""A guest process: how it is started behind its walls, and how it is talked to. Nothing that it sends is trusted."""

import contextlib
import json
import os
import select
import signal
import struct
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import orjson

from fettle.host import users
from fettle.rewards.sandbox import bubblewrap, cgroup, landlock, memory
from fettle.rewards.sandbox.errors import LoadError, SandboxError
from fettle.rewards.sandbox.languages import LANGUAGES, interpreter, shared_python
from fettle.rewards.sandbox.limits import Limits

FRAME_AT_MOST = 1 << 20  # bytes of one result: a number, 4 kB of output, a traceback
READ_BYTES = 1 << 16
START_SECONDS = 20.0
LOOK_SECONDS = 0.02  # between two looks at the memory of guests, while one of them works
LEAST_MEMORY = 64 << 20  # bytes without which no guest is started
GUEST = (Path(__file__).parent / "guest.py").read_text("utf-8")
NO_IDS = (
    "User code must not run as root, but the worker is root in a user namespace without other users. The code was not "
    "run. Map a range of users into the namespace (/etc/subuid), or run the worker as an ordinary user."
)
NO_LANDLOCK = (
    "User code needs a kernel with Landlock (Linux 5.13 or later, enabled). The code was not run. Use such a kernel, "
    "or reward functions that need no sandbox (GET /v1/reward_functions)."
)


def unused_id(ids: Path) -> int:
    """Raises SandboxError where root can become no other user."""
    try:
        return users.unused_id(ids)
    except users.NoUser as error:
        raise SandboxError(NO_IDS) from error


@dataclass(frozen=True)
class Walls:
    """What stands around a guest beside the minimum. bwrap: the program. group: the cgroup that holds its own."""

    bwrap: str | None = None
    group: Path | None = None


class Overrun(Exception):
    """Nothing came in time."""


class Broken(Exception):
    """The guest ended, or does not keep to the protocol."""


class Guest:
    """A confined process. Raises SandboxError when it is not, LoadError when this process's other guests have left no
    memory: their limit is one for all of them."""

    live: ClassVar[set["Guest"]] = set()  # of this process

    def __init__(self, limits: Limits, walls: Walls, language: str = "python") -> None:
        if landlock.abi() == 0:
            raise SandboxError(NO_LANDLOCK)
        self.memory_bytes = limits.memory_bytes
        limits = replace(limits, memory_bytes=self._room())
        does = LANGUAGES[language](limits)
        uid, gid = map(unused_id, users.ID_MAPS) if os.geteuid() == 0 else (None, None)
        config = {
            "uid": uid,
            "gid": gid,
            "limits": {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": 0, "RLIMIT_NOFILE": 64, **does.limits},
            "seccomp": does.seccomp.hex(),
            "become": does.become,
            **landlock.rules(landlock.abi(), does.readable, does.runnable),
        }
        self.buffer = bytearray()
        self.walls = walls
        self.ended_for: str | None = None
        try:
            self.leaf = cgroup.Leaf(walls.group, limits.memory_bytes) if walls.group else None
        except OSError as error:
            raise SandboxError(
                f"The sandbox cannot limit memory with a cgroup ({error}). The code was not run."
            ) from error
        outside = [*memory.FIRST_TO_DIE, *(self.leaf.command() if self.leaf else [])]
        shared = shared_python()
        if walls.bwrap:
            needed = [*landlock.library(), *([str(shared)] if shared else []), *does.readable, *does.runnable]
            outside += bubblewrap.command(walls.bwrap, interpreter(), needed)
        self.process = subprocess.Popen(
            [*outside, interpreter(), "-I", "-S", "-B", "-X", "utf8", "-c", GUEST],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"LD_LIBRARY_PATH": str(shared.parent)} if shared else {},
            cwd="/",
            start_new_session=True,
        )
        Guest.live.add(self)
        assert self.process.stdin is not None  # noqa: S101 — a pipe
        os.set_blocking(self.process.stdin.fileno(), False)
        try:
            self.send(config)
            answer = self.receive(START_SECONDS)
        except (Overrun, Broken) as error:
            self.kill()
            why = str(error) or "it did not answer"
            raise SandboxError(f"The sandbox did not start ({why}). The code was not run.") from error
        if answer.get("ready") is None or (uid is not None and answer["ready"] != uid):
            self.kill()
            raise SandboxError(f"The sandbox cannot confine user code. The code was not run: {answer.get('refused')}")

    def send(self, message: dict[str, Any], seconds: float = START_SECONDS) -> None:
        """Raises Overrun when the guest does not read, Broken when it has ended."""
        body = orjson.dumps(message)
        assert self.process.stdin is not None  # noqa: S101 — a pipe
        rest, pipe = memoryview(struct.pack(">I", len(body)) + body), self.process.stdin.fileno()
        deadline = time.monotonic() + seconds
        while rest:
            _, ready, _ = select.select([], [pipe], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise Overrun
            try:
                rest = rest[os.write(pipe, rest) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise Broken(self._ending()) from error

    def receive(self, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        (size,) = struct.unpack(">I", self._read(4, deadline))
        if size > FRAME_AT_MOST:
            raise Broken(f"it sent a result of {size:,} bytes")
        try:
            message = json.loads(self._read(size, deadline))  # unlike orjson it reads lone surrogates, which JS prints
        except (ValueError, RecursionError) as error:
            raise Broken("it sent an invalid result") from error
        if not isinstance(message, dict):
            raise Broken("it sent an invalid result")
        return message

    def _read(self, size: int, deadline: float) -> bytes:
        assert self.process.stdout is not None  # noqa: S101 — a pipe
        while len(self.buffer) < size:
            left = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self.process.stdout], [], [], min(left, LOOK_SECONDS))
            if not ready:
                if left <= LOOK_SECONDS:
                    raise Overrun
                self._limit_memory()
                continue
            part = os.read(self.process.stdout.fileno(), READ_BYTES)
            if not part:
                raise Broken(self._ending())
            self.buffer += part
        got = bytes(self.buffer[:size])
        del self.buffer[:size]
        return got

    def _room(self) -> int:
        """Bytes that this process's other guests leave of what all of them may have."""
        if not Guest.live:
            return self.memory_bytes
        taken = sum(memory.resident(pid) for guest in Guest.live for pid in memory.tree(guest.process.pid))
        left = memory.at_most(self.memory_bytes) - taken
        if left < LEAST_MEMORY:
            raise LoadError(
                f"The graders share {self.memory_bytes >> 20:,} MiB of memory, of which {taken >> 20:,} MiB are in "
                "use. Too little is left to start another. Use fewer graders with code, or less memory in each."
            )
        return left

    def _limit_memory(self) -> None:
        """Ends the largest of this process's guests, when together they have taken more than one of them may."""
        if len(Guest.live) < 2:
            return
        of = {pid: guest for guest in Guest.live for pid in memory.tree(guest.process.pid)}
        for ended in memory.end_largest([memory.Process(pid, memory.resident(pid)) for pid in of], self.memory_bytes):
            of[ended.pid].ended_for = f"the graders together used more than {self.memory_bytes >> 20:,} MiB of memory"

    def _ending(self) -> str:
        if self.ended_for is not None:
            return self.ended_for
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self.process.wait(1)
            if self.walls.bwrap and code > 128:
                code = 128 - code  # bubblewrap's word for a signal
            killed = " (often: it used too much memory)" if code == -signal.SIGKILL else ""
            return f"signal {-code}{killed}" if code < 0 else f"exit status {code}"
        return "it closed its pipe"

    def kill(self) -> None:
        Guest.live.discard(self)
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        if self.leaf is not None:
            self.leaf.remove()
