"""The data folder: only its owner may look inside, whichever command makes it first."""

import os
import stat
from pathlib import Path

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def prepare(folder: Path) -> Path:
    """Makes the folder, or closes one that others can read. One that is not ours, or that users share, stays as is."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    shared = found.st_mode & stat.S_ISVTX or found.st_uid != os.geteuid()  # /tmp, for one
    if found.st_mode & OTHERS and not shared:
        folder.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)
    return folder
