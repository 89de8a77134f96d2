"""bubblewrap around a guest: a file system with only what it reads, no process but its own, no network device.

Its own environment would be the guest's /proc/1/environ: it is started with an empty one, and there is no /proc.
"""

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
NAMESPACES = ("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
# Root needs no user namespace, and takes a user id of its own inside; everybody else gets one, and no second one in it
ROOT = ("--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID")
OTHERS = ("--unshare-user", "--disable-userns", "--cap-drop", "ALL")


def find() -> str | None:
    return shutil.which("bwrap")


def command(bwrap: str, interpreter: str, readable: Iterable[str]) -> list[str]:
    """What stands before the interpreter's command."""
    own = [
        Path(prefix) / folder
        for prefix in (sys.base_prefix, sys.base_exec_prefix)
        for folder in ("lib", sys.platlibdir)
    ]
    places = dict.fromkeys([*LIBRARIES, interpreter, *map(str, own), *readable])
    inside = [place for place in places if not any(place.startswith(f"{other}/") for other in places)]
    above = sorted({str(parent) for place in inside for parent in Path(place).parents if parent != Path("/")})
    folders = [word for folder in above for word in ("--perms", "0755", "--dir", folder)]  # its own are 0700
    binds = [word for place in inside for word in ("--ro-bind-try", place, place)]
    private = ROOT if os.geteuid() == 0 else OTHERS
    device = ("--dev-bind", "/dev/null", "/dev/null", "--remount-ro", "/", "--chdir", "/")
    return [bwrap, *NAMESPACES, *private, "--die-with-parent", *folders, *binds, *device, "--"]
