"""A guest process: how it is started behind its walls, and how it is talked to. Nothing that it sends is trusted."""

import contextlib
import os
import select
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from fettle.rewards.sandbox import bubblewrap, cgroup, landlock
from fettle.rewards.sandbox.errors import SandboxError
from fettle.rewards.sandbox.languages import LANGUAGES, interpreter, shared_python
from fettle.rewards.sandbox.limits import Limits

FRAME_AT_MOST = 1 << 20  # bytes of one result: a number, 4 kB of output, a traceback
READ_BYTES = 1 << 16
START_SECONDS = 20.0
FIRST_ID = 2_000_000_000  # nobody's: neither people nor services get ids so high
GUEST = (Path(__file__).parent / "guest.py").read_text("utf-8")
FEWEST_IDS = 1000
ID_MAPS = (Path("/proc/self/uid_map"), Path("/proc/self/gid_map"))
NO_IDS = (
    "User code must not run as root, and the worker is root in a user namespace that maps no other user: it was not "
    "run. Map a range of users into the namespace (/etc/subuid), or run the worker as an ordinary user."
)
NO_LANDLOCK = (
    "User code needs a kernel with Landlock (Linux 5.13 or newer, enabled): it was not run. Run the worker on one, or "
    "reward with functions that need no sandbox (GET /v1/reward_functions)."
)


def unused_id(ids: Path) -> int:
    """A user or group for the guests of this process, from the map of ids that exist here (user_namespaces(7)).

    Raises SandboxError where root can become no other user."""
    wanted = FIRST_ID + os.getpid()
    spans = [tuple(map(int, line.split())) for line in ids.read_text().splitlines()]
    if any(first <= wanted < first + count for first, _, count in spans):
        return wanted
    first, _, count = max(spans, key=lambda span: span[2])
    if count < FEWEST_IDS:
        raise SandboxError(NO_IDS)
    return first + count - 2 - os.getpid() % (FEWEST_IDS // 2)  # a container that maps some thousands: from its end


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
    """A confined process. Raises SandboxError when it is not."""

    def __init__(self, limits: Limits, walls: Walls, language: str = "python") -> None:
        if landlock.abi() == 0:
            raise SandboxError(NO_LANDLOCK)
        does = LANGUAGES[language](limits)
        uid, gid = map(unused_id, ID_MAPS) if os.geteuid() == 0 else (None, None)
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
        try:
            self.leaf = cgroup.Leaf(walls.group, limits.memory_bytes) if walls.group else None
        except OSError as error:
            raise SandboxError(
                f"The sandbox cannot limit memory by a cgroup ({error}): user code was not run."
            ) from error
        outside = self.leaf.command() if self.leaf else []
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
        assert self.process.stdin is not None  # noqa: S101 — a pipe
        os.set_blocking(self.process.stdin.fileno(), False)
        try:
            self.send(config)
            answer = self.receive(START_SECONDS)
        except (Overrun, Broken) as error:
            self.kill()
            why = str(error) or "it did not answer"
            raise SandboxError(f"The sandbox did not start ({why}): user code was not run.") from error
        if answer.get("ready") is None or (uid is not None and answer["ready"] != uid):
            self.kill()
            raise SandboxError(f"The sandbox cannot confine user code, which was not run: {answer.get('refused')}")

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
            message = orjson.loads(self._read(size, deadline))
        except orjson.JSONDecodeError as error:
            raise Broken("it sent what is no result") from error
        if not isinstance(message, dict):
            raise Broken("it sent what is no result")
        return message

    def _read(self, size: int, deadline: float) -> bytes:
        assert self.process.stdout is not None  # noqa: S101 — a pipe
        while len(self.buffer) < size:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise Overrun
            part = os.read(self.process.stdout.fileno(), READ_BYTES)
            if not part:
                raise Broken(self._ending())
            self.buffer += part
        got = bytes(self.buffer[:size])
        del self.buffer[:size]
        return got

    def _ending(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self.process.wait(1)
            if self.walls.bwrap and code > 128:
                code = 128 - code  # bubblewrap's word for a signal
            return f"signal {-code}" if code < 0 else f"exit status {code}"
        return "it closed its pipe"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        if self.leaf is not None:
            self.leaf.remove()
