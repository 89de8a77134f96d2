from dataclasses import dataclass
from functools import cached_property

from fettle.db import Database
from fettle.inference.engines import Directory
from fettle.registry.catalog import Catalog
from fettle.registry.live_catalog import LiveCatalog
from fettle.settings import Settings
from fettle.storage import Storage, open_storage


@dataclass(frozen=True)
class Resources:
    """What a worker keeps open for all its jobs."""

    settings: Settings
    db: Database
    storage: Storage
    models: Catalog
    threads: int  # per child

    @cached_property
    def engines(self) -> Directory:
        return Directory(self.db, self.settings.heartbeat_seconds)


def opened(settings: Settings, threads: int) -> Resources:
    """By the settings: before the process forgets its secrets."""
    return Resources(settings, Database(settings.database), open_storage(settings), LiveCatalog(settings), threads)
