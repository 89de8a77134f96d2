"""The sandbox from outside: one guest process, talked to in frames, killed and replaced when it overruns.

Nothing that a guest sends is trusted: frames have a limit, values must be finite numbers, and a guest that breaks the
protocol is killed. User code never runs when the guest cannot confine itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fettle.rewards.sandbox.errors import LoadError
from fettle.rewards.sandbox.guests import Broken, Guest, Overrun, Walls
from fettle.rewards.sandbox.limits import Limits
from fettle.rewards.sandbox.walls import walls_of
from fettle.rewards.source import CALLED
from fettle.rewards.texts import error as cut_error
from fettle.rewards.texts import printed as cut_printed

SOURCE_AT_MOST = 256_000  # bytes of user code, OpenAI's limit
NAME_AT_MOST = 200  # characters of the name of a type that is no number


@dataclass(frozen=True)
class SandboxResult:
    """What user code returned for one sample: a finite value, or an error."""

    value: float | None
    printed: str = ""
    error: str | None = None


@dataclass(frozen=True)
class Returned:
    """What a tool returned for one call, or the sentence about what went wrong."""

    text: str
    failed: bool = False


class Sandbox:
    """Grades samples with one piece of user code, or calls it as a tool.

    One per job, never shared. Not for two threads at once; the guest dies with the thread that started it.
    """

    def __init__(
        self,
        source: str,
        limits: Limits | None = None,
        names: Sequence[str] = CALLED,
        *,
        language: str = "python",
        walls: Walls | None = None,
    ) -> None:
        """walls: other than the strongest that work here. Raises SandboxError when the machine cannot confine, or when
        the source does not load."""
        if len(source.encode()) > SOURCE_AT_MOST:
            raise LoadError(f"The source has {len(source.encode()):,} bytes; the limit is {SOURCE_AT_MOST:,}.")
        self.source, self.names, self.language = source, list(names), language
        self.walls = walls or walls_of(language)
        self.limits = limits or Limits()
        self.guest: Guest | None = None
        self.function = self._start()

    def grade(self, samples: Sequence[Sequence[Any]]) -> list[SandboxResult]:
        """A result a sample; a sample is the arguments of the user's function. An overrun costs one sample only."""
        results: list[SandboxResult] = []
        while len(results) < len(samples):
            if self.guest is None:
                self._start()
            assert self.guest is not None  # noqa: S101 — started just now
            try:
                self.guest.send({"type": "grade", "samples": samples[len(results) :]}, self.limits.seconds)
                while len(results) < len(samples):
                    results.append(result_of(self.guest.receive(self.limits.seconds)))
            except Overrun:
                results.append(
                    SandboxResult(None, error=f"TimeoutError: no result within {self.limits.seconds:g} seconds")
                )
                self.close()
            except Broken as broken:
                results.append(SandboxResult(None, error=f"The grader's process ended: {broken}"))
                self.close()
        return results

    def call(self, arguments: dict[str, Any]) -> Returned:
        """What the user's function returns for these arguments. An overrun costs this call only."""
        if self.guest is None:
            self._start()
        assert self.guest is not None  # noqa: S101 — started just now
        try:
            self.guest.send({"type": "call", "arguments": arguments}, self.limits.seconds)
            answer = self.guest.receive(self.limits.seconds)
            if "error" in answer:
                return Returned(last_line(str(answer["error"])), failed=True)
            if not isinstance(answer.get("value"), str):
                raise Broken("it sent an invalid result")
            return Returned(cut_printed(answer["value"]))
        except Overrun:
            self.close()
            return Returned(f"TimeoutError: no result within {self.limits.seconds:g} seconds", failed=True)
        except Broken as broken:
            self.close()
            return Returned(f"The tool's process ended: {broken}", failed=True)

    def close(self) -> None:
        if self.guest is not None:
            self.guest.kill()
            self.guest = None

    def _start(self) -> str:
        """The name of the function that will be called."""
        self.guest = Guest(self.limits, self.walls, self.language)
        try:
            self.guest.send({"type": "load", "source": self.source, "names": self.names})
            answer = self.guest.receive(self.limits.seconds)
        except (Overrun, Broken) as error:
            self.close()
            raise LoadError(f"The source could not be loaded: {str(error) or 'it did not finish in time'}.") from error
        if "error" in answer:
            self.close()
            raise LoadError(f"The source could not be loaded: {cut_error(str(answer['error'])).strip()}")
        if answer.get("value") not in self.names:
            self.close()
            raise LoadError("The source could not be loaded: it sent an invalid result.")
        return str(answer["value"])

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def result_of(answer: dict[str, Any]) -> SandboxResult:
    """Only a finite number is a reward; an error is never silently 0."""
    printed = cut_printed(str(answer.get("printed", "")))
    if "error" in answer:
        return SandboxResult(None, printed, cut_error(str(answer["error"])))
    value = answer.get("value")
    if isinstance(value, int | float):
        number = finite(value)
        if number is not None:
            return SandboxResult(number, printed)
    if isinstance(value, dict):
        what = f"the value {value.get('not_finite')}" if "not_finite" in value else f"a {value.get('type')}"
        return SandboxResult(
            None, printed, f"TypeError: a reward must be a finite number, not {cut_printed(what, NAME_AT_MOST)}"
        )
    raise Broken("it sent an invalid result")


def last_line(trace: str) -> str:
    """Of a traceback: the exception. A model learns from what went wrong, not from where."""
    return cut_printed(cut_error(trace).strip().rpartition("\n")[2], NAME_AT_MOST)


def finite(value: float) -> float | None:
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number that no float can hold
        return None
