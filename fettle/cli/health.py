"""`fettle health`: whether this machine's worker is alive, as the database sees it; for a container's health check."""

import socket
from typing import TYPE_CHECKING

from fettle.cli.terminal import console, with_database
from fettle.errors import FettleError
from fettle.settings import Settings
from fettle.wording import quantity

if TYPE_CHECKING:
    from fettle.db import Database


def check() -> None:
    """Check that the worker on this machine is alive and takes jobs; exit with 1 if not."""
    from fettle.jobs import workers

    settings, host = Settings(), socket.gethostname()

    async def serves(db: "Database") -> bool:
        async with db.snapshot() as session:
            return host in (await session.scalars(workers.serving_hosts(settings.heartbeat_seconds))).all()

    if not with_database(settings, serves):
        silence = quantity(round(workers.SILENT_HEARTBEATS * settings.heartbeat_seconds), "second")
        raise FettleError(
            f"No worker on {host} has told the database within {silence} that it takes jobs. Read the worker's log."
        )
    console.print(f"A worker on {host} is alive and takes jobs.", highlight=False)
