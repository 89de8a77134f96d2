"""A memory limit for a whole guest, whatever it does: a cgroup (v2) of its own, where this process may make one.

Groups are made below our own group or beside it, if that hands memory on already: no other group is changed. Each
carries its maker's process id, so that what a killed maker left can be told and taken away.
"""

import contextlib
import itertools
import os
import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PREFIX = "fettle-sandbox-"
ENTER = 'echo $$ > "$0" && exec "$@"'  # for sh: before anything is started that would stay outside
REMOVE_SECONDS = 2.0
NUMBERS = itertools.count()


def find(root: Path = ROOT, own: Path = Path("/proc/self/cgroup")) -> Path | None:
    """The group in which ours can be made."""
    try:
        (line,) = [line for line in own.read_text().splitlines() if line.startswith("0::/")]
    except (OSError, ValueError):
        return None
    mine = root / line.removeprefix("0::/")
    for group in (mine, mine.parent):
        if group.is_relative_to(root) and os.access(group, os.W_OK) and "memory" in handed_on(group):
            return group
    return None


def handed_on(group: Path) -> list[str]:
    try:
        return (group / "cgroup.subtree_control").read_text().split()
    except OSError:
        return []


class Leaf:
    """One guest's group. Raises OSError when it cannot be made."""

    def __init__(self, parent: Path, memory_bytes: int) -> None:
        self.path = parent / f"{PREFIX}{os.getpid()}-{next(NUMBERS)}"
        self.path.mkdir()
        try:
            write(self.path / "memory.max", str(memory_bytes))
            write(self.path / "memory.oom.group", "1")
            with contextlib.suppress(FileNotFoundError):  # a kernel without swap accounting
                write(self.path / "memory.swap.max", "0")
        except OSError:
            self.path.rmdir()
            raise

    def command(self) -> list[str]:
        """What stands before a command that is to run in the group."""
        return ["/bin/sh", "-c", ENTER, str(self.path / "cgroup.procs")]

    def remove(self) -> None:
        remove(self.path)


def write(path: Path, text: str) -> None:
    """Into what the kernel has put there: raises FileNotFoundError for a knob that it does not have."""
    knob = os.open(path, os.O_WRONLY)
    try:
        os.write(knob, text.encode())
    finally:
        os.close(knob)


def remove(path: Path) -> None:
    """With whatever still runs in it."""
    with contextlib.suppress(OSError):
        write(path / "cgroup.kill", "1")
    deadline = time.monotonic() + REMOVE_SECONDS
    while time.monotonic() < deadline:
        try:
            return path.rmdir()
        except FileNotFoundError:
            return None
        except OSError:  # the kernel has not yet buried all of them
            time.sleep(0.002)
    return None


def sweep(parent: Path | None = None) -> None:
    """Takes away the groups of makers that are dead."""
    parent = parent or find()
    for path in parent.glob(f"{PREFIX}*") if parent else ():
        maker = path.name.removeprefix(PREFIX).partition("-")[0]
        if not Path(f"/proc/{maker}").exists():
            remove(path)
