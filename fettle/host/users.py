"""Users that nobody has: whom a root process becomes for work that it does not trust. And what a process hides."""

import ctypes
import os
import sys
from pathlib import Path

FIRST_ID = 2_000_000_000  # neither people nor services get ids so high
FEWEST_IDS = 1000
ID_MAPS = (Path("/proc/self/uid_map"), Path("/proc/self/gid_map"))
PR_SET_DUMPABLE = 4


class NoUser(Exception):
    """Root can become no other user here."""


def unused_id(ids: Path) -> int:
    """A user or group for this process alone, from the map of ids that exist here (user_namespaces(7)).

    Raises NoUser."""
    wanted = FIRST_ID + os.getpid()
    spans = [tuple(map(int, line.split())) for line in ids.read_text().splitlines()]
    if any(first <= wanted < first + count for first, _, count in spans):
        return wanted
    first, _, count = max(spans, key=lambda span: span[2])
    if count < FEWEST_IDS:
        raise NoUser
    return first + count - 2 - os.getpid() % (FEWEST_IDS // 2)  # a container that maps some thousands: from its end


def conceal() -> None:
    """Other processes of the same user can no longer read this one's memory, nor the environment that it was started
    with, where the keys are. A program that this process starts can be read again, unless it conceals itself."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
