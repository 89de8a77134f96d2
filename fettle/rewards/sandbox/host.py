"""The sandbox from outside: one guest process, talked to in frames, killed and replaced when it overruns.

Nothing that a guest sends is trusted: frames have a limit, values must be finite numbers, and a guest that breaks the
protocol is killed. User code never runs when the guest cannot confine itself.
"""

import contextlib
import math
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from fettle.rewards.sandbox import landlock, seccomp
from fettle.rewards.source import CALLED

SOURCE_AT_MOST = 256_000  # bytes of user code, OpenAI's limit
FRAME_AT_MOST = 1 << 20  # bytes of one result: a number, 4 kB of output, a traceback
READ_BYTES = 1 << 16
START_SECONDS = 20.0
FIRST_UID = 2_000_000_000  # nobody's: neither people nor services get ids so high
GUEST = (Path(__file__).parent / "guest.py").read_text("utf-8")


class SandboxError(Exception):
    """The sandbox cannot be had, or user code did not load; the message is for the user."""


class LoadError(SandboxError):
    """User code did not load: its own fault."""


@dataclass(frozen=True)
class Limits:
    """Per guest; `seconds` for one sample."""

    seconds: float = 120.0
    memory_bytes: int = 2 << 30


@dataclass(frozen=True)
class Verdict:
    """What user code said about one sample: a finite value, or an error."""

    value: float | None
    printed: str = ""
    error: str | None = None


class Sandbox:
    """Grades samples with one piece of user code.

    One per job, never shared. Not for two threads at once; the guest dies with the thread that started it.
    """

    def __init__(self, source: str, limits: Limits | None = None, names: Sequence[str] = CALLED) -> None:
        """Raises SandboxError when the machine cannot confine, or when the source does not load."""
        if len(source.encode()) > SOURCE_AT_MOST:
            raise LoadError(f"The source has {len(source.encode()):,} bytes; at most {SOURCE_AT_MOST:,} are allowed.")
        self.source, self.names = source, list(names)
        self.limits = limits or Limits()
        self.guest: Guest | None = None
        self.function = self._start()

    def grade(self, samples: Sequence[Sequence[Any]]) -> list[Verdict]:
        """A verdict a sample; a sample is the arguments of the user's function. An overrun costs one sample only."""
        verdicts: list[Verdict] = []
        while len(verdicts) < len(samples):
            if self.guest is None:
                self._start()
            assert self.guest is not None  # noqa: S101 — started just now
            try:
                self.guest.send({"type": "grade", "samples": samples[len(verdicts) :]}, self.limits.seconds)
                while len(verdicts) < len(samples):
                    verdicts.append(judged(self.guest.receive(self.limits.seconds)))
            except Overrun:
                verdicts.append(Verdict(None, error=f"TimeoutError: no result within {self.limits.seconds:g} seconds"))
                self.close()
            except Broken as broken:
                verdicts.append(Verdict(None, error=f"The grader's process ended: {broken}"))
                self.close()
        return verdicts

    def close(self) -> None:
        if self.guest is not None:
            self.guest.kill()
            self.guest = None

    def _start(self) -> str:
        """The name of the function that will be called."""
        self.guest = Guest(self.limits)
        try:
            self.guest.send({"type": "load", "source": self.source, "names": self.names})
            answer = self.guest.receive(self.limits.seconds)
        except (Overrun, Broken) as error:
            self.close()
            raise LoadError(f"The source could not be loaded: {str(error) or 'it did not come to an end'}.") from error
        if "error" in answer:
            self.close()
            raise LoadError(f"The source could not be loaded: {answer['error'].strip()}")
        return str(answer.get("value"))

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Overrun(Exception):
    """Nothing came in time."""


class Broken(Exception):
    """The guest ended, or does not keep to the protocol."""


class Guest:
    """A confined process. Raises SandboxError when it is not."""

    def __init__(self, limits: Limits) -> None:
        if landlock.abi() == 0:
            raise SandboxError("User code needs a kernel with Landlock (Linux 5.13 or newer, enabled): it was not run.")
        uid = FIRST_UID + os.getpid() if os.geteuid() == 0 else None
        config = {
            "uid": uid,
            "limits": {
                "RLIMIT_AS": limits.memory_bytes,
                "RLIMIT_CORE": 0,
                "RLIMIT_FSIZE": 0,
                "RLIMIT_NOFILE": 64,
                "RLIMIT_NPROC": 16,
            },
            "seccomp": program().hex(),
            **landlock.rules(landlock.abi()),
        }
        self.buffer = bytearray()
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-c", GUEST],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
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
            raise SandboxError(f"The sandbox did not start ({type(error).__name__}): user code was not run.") from error
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
            return f"signal {-code}" if code < 0 else f"exit status {code}"
        return "it closed its pipe"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def judged(answer: dict[str, Any]) -> Verdict:
    """Only a finite number is a reward; an error is never silently 0."""
    printed = str(answer.get("printed", ""))
    if "error" in answer:
        return Verdict(None, printed, str(answer["error"]))
    value = answer.get("value")
    if isinstance(value, int | float) and math.isfinite(value):
        return Verdict(float(value), printed)
    if isinstance(value, dict):
        what = f"the value {value.get('not_finite')}" if "not_finite" in value else f"a {value.get('type')}"
        return Verdict(None, printed, f"TypeError: a reward must be a finite number, not {what}")
    raise Broken("it sent what is no result")


def program() -> bytes:
    try:
        return seccomp.filter_program()
    except seccomp.Unsupported as error:
        raise SandboxError(str(error)) from error


@cache
def level() -> str:
    """What confines user code here, by name, proved by starting a guest. Raises SandboxError when nothing does."""
    with Sandbox("def grade(sample, item): return 1.0", Limits(seconds=START_SECONDS)) as sandbox:
        if sandbox.grade([({}, {})])[0].value != 1.0:
            raise SandboxError("The sandbox starts, but gives no results: user code was not run.")
    parts = [f"landlock{landlock.abi()}", "seccomp", "rlimits"]
    return "+".join([*parts, "uid"] if os.geteuid() == 0 else parts)
