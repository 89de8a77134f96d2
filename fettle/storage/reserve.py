"""A file that only takes room: deleted when the disk is full, so that a cancel, a delete and a job's end get through.

It lies beside an SQLite database; a PostgreSQL has a disk of its own.
"""

import os
import shutil
from pathlib import Path

from sqlalchemy.engine import make_url

from fettle.settings import Settings

SIZE = 4 << 20  # bytes: many times what a cancel or a job's end writes
LOW = 1 << 20  # bytes left, below which a small write may fail


def path(settings: Settings) -> Path | None:
    """None where the database is not a file."""
    url = make_url(settings.database)
    if not url.drivername.startswith("sqlite") or not url.database or url.database == ":memory:":
        return None
    return Path(url.database).parent / "reserve"


def make(settings: Settings) -> None:
    """Takes the room again, where there is plenty. Never raises: without a reserve all else goes on."""
    file = path(settings)
    if file is None or file.exists() or not file.parent.is_dir():
        return
    aside = file.with_name(f"reserve.{os.getpid()}")
    try:
        if shutil.disk_usage(file.parent).free < 4 * SIZE:
            return
        with aside.open("wb") as out:
            out.write(os.urandom(SIZE))  # no hole, and nothing that a file system compresses away
            out.flush()
            os.fsync(out.fileno())
        aside.replace(file)
    except OSError:
        return
    finally:
        aside.unlink(missing_ok=True)


def release(settings: Settings) -> None:
    """Gives the room up where the disk is as good as full."""
    file = path(settings)
    try:
        if file is not None and shutil.disk_usage(file.parent).free < LOW:
            file.unlink(missing_ok=True)
    except OSError:
        return
