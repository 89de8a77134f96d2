"""The catalog of a process that runs: what is added or removed in the file is there without a restart."""

import time
from collections.abc import Collection, Iterator, Mapping

import structlog

from fettle.registry import catalog
from fettle.registry.catalog import BaseModelEntry, CatalogError
from fettle.settings import Settings, split

LOOK_SECONDS = 0.5  # between looks at the file's time
log = structlog.get_logger()


class LiveCatalog(Mapping[str, BaseModelEntry]):
    """Raises CatalogError where the file cannot be used at the start; later the last good one stays."""

    def __init__(self, settings: Settings) -> None:
        self.file, self.needed = settings.catalog or settings.own_catalog, settings.catalog is not None
        self.stamp = self.stamp_now()
        self.entries = self.load()
        self.looked = time.monotonic()

    def load(self) -> dict[str, BaseModelEntry]:
        return catalog.load(self.file if self.needed or self.file.is_file() else None)

    def stamp_now(self) -> tuple[int, int, int] | None:
        """Another value as soon as the file is another."""
        try:
            found = self.file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def now(self) -> dict[str, BaseModelEntry]:
        if time.monotonic() - self.looked >= LOOK_SECONDS:
            self.refresh()
        return self.entries

    def refresh(self) -> None:
        """Looks at the file at once."""
        self.looked = time.monotonic()
        if (stamp := self.stamp_now()) == self.stamp:
            return
        self.stamp = stamp
        try:
            self.entries = self.load()
        except CatalogError as error:
            log.warning("catalog_unusable", error=error.message)

    def __getitem__(self, name: str) -> BaseModelEntry:
        try:
            return self.now()[name]
        except KeyError:
            self.refresh()  # it may have come since the last look
            return self.entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.now())

    def __len__(self) -> int:
        return len(self.now())


class Selected(Mapping[str, BaseModelEntry]):
    """Of a catalog only these models."""

    def __init__(self, models: LiveCatalog, names: Collection[str]) -> None:
        self.models, self.names = models, names

    def __getitem__(self, name: str) -> BaseModelEntry:
        if name not in self.names:
            raise KeyError(name)
        return self.models[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self.models if name in self.names)

    def __len__(self) -> int:
        return sum(name in self.names for name in self.models)


def served(settings: Settings) -> Mapping[str, BaseModelEntry]:
    """What an engine serves. Raises CatalogError."""
    models, names = LiveCatalog(settings), split(settings.engine_models)
    if unknown := sorted(set(names) - models.keys()):
        raise CatalogError(
            f"FETTLE_ENGINE_MODELS names {unknown[0]!r}, which is not in the catalog. Choose from: {', '.join(models)}."
        )
    return Selected(models, names) if names else models
