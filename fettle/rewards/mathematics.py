"""Are two answers the same mathematics? math-verify in a process that is killed when it takes too long.

A completion may hold 9^9^9^9, which SymPy would compute for ever; math-verify's own time limit needs the main thread.
"""

import json
import os
import select
import subprocess
import sys
import time

from fettle.host.parent_death import die_with_parent

START_SECONDS = 60.0  # it imports SymPy, and compares a first pair
SECONDS = 3.0
MEMORY_BYTES = 2 << 30
LENGTH_AT_MOST = 2000  # characters; what is longer is no answer
ENVIRONMENTS = ("$", "\\(", "\\[", "\\boxed")


class Overrun(Exception):
    """It took too long, or too much memory."""


class Mathematics:
    """Compares pairs. Its process starts with the first."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def equal(self, given: str, wanted: str) -> bool:
        """Raises Overrun."""
        if max(len(given), len(wanted)) > LENGTH_AT_MOST:
            return False
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fettle.rewards.mathematics"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            self._line(START_SECONDS)
        assert self.process.stdin is not None  # noqa: S101 — a pipe
        try:
            self.process.stdin.write(json.dumps([given, wanted]).encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            self.close()
            raise Overrun("Comparing the two answers gave no result.") from error
        return self._line(SECONDS) == b"1\n"

    def _line(self, seconds: float) -> bytes:
        assert self.process is not None and self.process.stdout is not None  # noqa: S101 — a pipe
        deadline, said = time.monotonic() + seconds, b""
        while not said.endswith(b"\n"):
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            part = os.read(self.process.stdout.fileno(), 64) if ready else b""
            if not part:
                self.close()
                raise Overrun(f"Comparing the two answers took longer than {seconds:g} seconds, or failed.")
            said += part
        return said

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    pipe.close()
            self.process = None


def as_latex(text: str) -> str:
    """math-verify reads LaTeX only where it is marked as such."""
    return text if any(mark in text for mark in ENVIRONMENTS) else f"${text}$"


def answer_pairs() -> None:
    import resource

    from math_verify import parse, verify

    die_with_parent()  # or what it computes for ever outlives whoever asked
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def same(given: str, wanted: str) -> bool:
        first, second = (parse(as_latex(text), parsing_timeout=None) for text in (wanted, given))
        return bool(verify(first, second, timeout_seconds=None))

    same("x = 2\\sqrt{2}", "(1, 2)")  # the libraries load their parsers late: not in the time of somebody's answer
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        answers.write(f"{int(same(*json.loads(line)))}\n")
        answers.flush()


if __name__ == "__main__":
    answer_pairs()
