"""The two small files outside database and storage that a service cannot do without: the secret and the catalog."""

from pathlib import Path

from fettle.settings import Settings
from fettle.tenancy import api_keys

SECRET, CATALOG = "secret", "catalog.json"


def keep(settings: Settings, folder: Path) -> list[str]:
    """Copies them from the data folder. What a setting names is the operator's to keep. Returns what was copied."""
    found = {CATALOG: settings.own_catalog} | ({SECRET: settings.data / "secret"} if settings.secret is None else {})
    there = {name: path for name, path in found.items() if path.is_file()}
    for name, path in there.items():
        api_keys.write_private(folder / name, path.read_text())
    return list(there)


def put_back(settings: Settings, folder: Path) -> list[str]:
    """Into the data folder, where they are not there already. Returns what was written."""
    wanted = {CATALOG: settings.own_catalog} | ({SECRET: settings.data / "secret"} if settings.secret is None else {})
    absent = {name: path for name, path in wanted.items() if (folder / name).is_file() and not path.exists()}
    for name, path in absent.items():
        api_keys.write_private(path, (folder / name).read_text())
    return list(absent)
