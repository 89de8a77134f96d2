"""How much memory guests take together, read from /proc, and the end of the largest where it is too much.

A limit for each guest bounds no request, which may name 32 graders, and no worker, which answers several requests.
Guests are known by their `oom_score_adj`, which they inherit and cannot lower: the kernel ends them first as well.
"""

import contextlib
import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
PAGE = os.sysconf("SC_PAGE_SIZE")
OOM_SCORE = 1000  # the highest: ended before anything else on the machine
FIRST_TO_DIE = ("/bin/sh", "-c", f'echo {OOM_SCORE} > /proc/self/oom_score_adj; exec "$@"', "sh")
SMALL = 6 << 20  # bytes; bubblewrap around a guest, say
SLACK = 8  # several guests together may take all but an eighth of the limit: they grow between two looks


@dataclass(frozen=True)
class Process:
    pid: int
    resident: int  # bytes


def tree(pid: int) -> list[int]:
    """The process, and all that come from it."""
    found = [pid]
    for each in found:
        found += children(each)
    return found


def children(pid: int) -> list[int]:
    """None where the process has ended, or where the kernel does not tell."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in (PROC / str(pid) / "task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return found


def resident(pid: int) -> int:
    """Bytes; 0 of a process that has ended."""
    try:
        return int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def guests(pid: int) -> list[Process]:
    """The processes of all guests that this process and those below it have started."""
    return [Process(each, resident(each)) for each in tree(pid) if is_guest(each)]


def is_guest(pid: int) -> bool:
    try:
        return int((PROC / str(pid) / "oom_score_adj").read_text()) == OOM_SCORE
    except (OSError, ValueError):
        return False


def at_most(limit: int) -> int:
    """What several may take together, in bytes."""
    return limit - limit // SLACK


def end_largest(processes: Iterable[Process], limit: int) -> list[Process]:
    """Ends the largest, until the others are within the limit. One alone is held by its own limit."""
    left = sorted((each for each in processes if each.resident > SMALL), key=lambda each: each.resident)
    ended = []
    while len(left) > 1 and sum(each.resident for each in left) > at_most(limit):
        largest = left.pop()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(largest.pid, signal.SIGKILL)
        ended.append(largest)
    return ended
