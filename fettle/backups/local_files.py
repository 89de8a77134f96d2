"""The two small files outside database and storage that a service cannot do without: the secret and the catalog."""

from collections.abc import Collection
from pathlib import Path

from fettle.settings import Settings
from fettle.tenancy import api_keys

SECRET, CATALOG = "secret", "catalog.json"


def of(settings: Settings) -> dict[str, Path]:
    """Where they are, by their names in a backup; without the secret where FETTLE_SECRET has it."""
    secret = {SECRET: settings.data / "secret"} if settings.secret is None else {}
    return {CATALOG: settings.own_catalog, **secret}


def keep(settings: Settings, folder: Path) -> list[str]:
    """Copies them from the data folder. What a setting names is the operator's to keep. Returns what was copied."""
    there = {name: path for name, path in of(settings).items() if path.is_file()}
    for name, path in there.items():
        api_keys.write_private(folder / name, path.read_text())
    return list(there)


def remove_others(settings: Settings, kept: Collection[Path]) -> None:
    """What a restore that was refused has put into the data folder. kept: what was there before."""
    for path in of(settings).values():
        if path not in kept:
            path.unlink(missing_ok=True)


def put_back(settings: Settings, folder: Path) -> list[str]:
    """Into the data folder, where they are not there already. Returns what was written."""
    absent = {name: path for name, path in of(settings).items() if (folder / name).is_file() and not path.exists()}
    for name, path in absent.items():
        api_keys.write_private(path, (folder / name).read_text())
    return list(absent)
