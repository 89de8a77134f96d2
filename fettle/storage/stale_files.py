"""What a process that died left in a folder for unfinished things. Other living processes may share the folder."""

import shutil
import time
from pathlib import Path

AGE = 24 * 3600  # seconds; nobody still writes to what nothing was added to for a day


def sweep(folder: Path, pattern: str = "*") -> None:
    """Removes what is older than AGE, counted from the newest file below it."""
    for path in folder.glob(pattern):
        if time.time() - touched(path) < AGE:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def touched(path: Path) -> float:
    """Seconds since 1970 of the last change; now, for what is vanishing while we look."""
    try:
        return max(entry.lstat().st_mtime for entry in (path, *path.rglob("*")))
    except FileNotFoundError:
        return time.time()
