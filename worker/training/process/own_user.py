"""The training child's user: where the worker is root, each child has one of its own.

Then the environments of other processes, where keys are, are closed to it. Files that it needs may lie below folders
that are closed to others, such as a private home or data folder: then it keeps the right to read any file, and nothing
else that root may do.
"""

import contextlib
import ctypes
import os
import stat
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

import orjson

from fettle.host import users

DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2  # capabilities(7)
PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 4, 8, 38, 47, 2
CAPABILITY_VERSION_3 = 0x20080522
DEVICES = ("nvidia*", "dri/*", "kfd")  # below /dev


def become(folder: Path) -> None:
    """Before anything of the job is read. The folder, and a home in it, are the new user's. Nothing where the worker is
    not root; where root may not change its user, a warning in the worker's log."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return
    try:
        uid, gid = map(users.unused_id, users.ID_MAPS)
    except users.NoUser:
        warn("the user namespace maps no other users")
        return
    libc = ctypes.CDLL(None, use_errno=True)
    kept = [] if is_open(needed(folder)) else [right_to_read()]
    home = folder / "home"
    home.mkdir(mode=0o700, exist_ok=True)
    groups = device_groups()
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    try:
        give(folder, uid, gid)
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except PermissionError:
        warn("the worker lacks CAP_CHOWN, CAP_SETGID or CAP_SETUID")
        return
    keep(libc, kept)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # or else its own /proc would be root's
    for name in ("HOME", "XDG_CACHE_HOME", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"):
        os.environ[name] = str(home)
    os.environ["USER"] = f"fettle-{uid}"


def warn(why: str) -> None:
    """A line of the worker's log: nothing has set up logging in the child yet."""
    line = {"level": "warning", "event": "training_as_root", "why": why, "docs": "docs/security.md"}
    print(orjson.dumps(line).decode(), file=sys.stderr, flush=True)


def needed(folder: Path) -> list[Path]:
    """What a child reads beside the system: Python, its packages, Fettle, the base model, and its own folder."""
    python = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve()]
    places = [*python, Path(__file__).parents[3], folder.parent]
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        places.append(Path(orjson.loads((folder / "spec.json").read_bytes())["base_model"]["path"]))
    return places


def is_open(places: Iterable[Path]) -> bool:
    """Whether any user may enter these, and read what they hold."""
    for place in places:
        for path in (place, *place.resolve().parents, *place.parents):
            try:
                if not path.stat().st_mode & stat.S_IXOTH and path.is_dir():
                    return False
            except OSError:
                return False
    return True


def right_to_read() -> int:
    """Of the two capabilities that open closed folders, the smaller one that this process has."""
    status = Path("/proc/self/status").read_text()
    has = int(status.split("CapEff:")[1].split()[0], 16)
    return DAC_READ_SEARCH if has >> DAC_READ_SEARCH & 1 else DAC_OVERRIDE


def device_groups() -> list[int]:
    """The groups that may use the accelerators, where not everybody may."""
    found = set()
    for pattern in DEVICES:
        for device in Path("/dev").glob(pattern):
            state = device.stat()
            if not state.st_mode & stat.S_IWOTH and state.st_mode & stat.S_IWGRP and state.st_gid != 0:
                found.add(state.st_gid)
    return sorted(found)


def give(folder: Path, uid: int, gid: int) -> None:
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.lchown(Path(root) / name, uid, gid)
    os.lchown(folder, uid, gid)


def keep(libc: ctypes.CDLL, capabilities: Iterable[int]) -> None:
    """Only these, for the programs that this process starts as well."""
    mask = sum(1 << each for each in capabilities)
    header, data = struct.pack("Ii", CAPABILITY_VERSION_3, 0), struct.pack("6I", mask, mask, mask, 0, 0, 0)
    if libc.capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    for each in capabilities:
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, each, 0, 0)
