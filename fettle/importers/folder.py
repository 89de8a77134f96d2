"""The folder that an import fills: OpenAI's own objects, the files' contents, and what became of each here.

files.json jobs.json checkpoints.json evals.json eval_runs.json   objects as OpenAI gave them
files/FILE_ID                                                     contents
jobs/JOB_ID.json                                                  jobs to run here
imported.json                                                     OpenAI's ids and the ids here, by server
"""

import fcntl
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fettle.errors import FettleError

Objects = dict[str, dict[str, Any]]  # by OpenAI's id
KINDS = ("files", "jobs", "checkpoints", "evals", "eval_runs")
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def opened(self) -> Iterator["Folder"]:
        """For one import at a time. Raises FettleError."""
        try:
            for part in (self.path, self.path / "files", self.path / "jobs"):
                part.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise FettleError(f"{self.path} cannot be used: {error.strerror}. Choose another: --folder.") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FettleError(f"Another import uses {self.path}. Wait for it, or choose another: --folder.") from error
        else:
            yield self
        finally:
            os.close(lock)

    def content(self, file_id: str) -> Path:
        return self.path / "files" / file_id

    def job(self, job_id: str) -> Path:
        return self.path / "jobs" / f"{job_id}.json"

    def load(self, kind: str) -> Objects:
        """Empty if there are none. Raises FettleError for a damaged file."""
        found = self.read(f"{kind}.json", [])
        if not isinstance(found, list):
            raise FettleError(f"{self.path / kind}.json is not a list. Delete it, and run the import again.")
        return by_id(found)

    def merge(self, kind: str, found: Iterable[dict[str, Any]]) -> Objects:
        """What is there already stays, though OpenAI may have deleted it since."""
        merged = self.load(kind) | by_id(found)
        self.write(f"{kind}.json", list(merged.values()))
        return merged

    def read(self, name: str, default: Any) -> Any:
        file = self.path / name
        try:
            return json.loads(file.read_text())
        except FileNotFoundError:
            return default
        except (OSError, ValueError) as error:
            raise FettleError(f"{file} cannot be read: {error}. Delete it, and run the import again.") from error

    def write(self, name: str, value: Any) -> None:
        """As a whole or not at all, also if this process is killed."""
        target = self.path / name
        handle, part = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
        with os.fdopen(handle, "w") as out:
            out.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
            out.flush()
            os.fsync(out.fileno())
        Path(part).replace(target)


def by_id(found: Iterable[Any]) -> Objects:
    """Raises FettleError for an id that cannot name a file; OpenAI has none."""
    objects: Objects = {}
    for each in found:
        name = each.get("id") if isinstance(each, dict) else None
        if not isinstance(name, str) or not ID.fullmatch(name):
            raise FettleError(
                f"A list has an object with the id {name!r}, which is not one of OpenAI's. Check its source."
            )
        objects[name] = each
    return objects


class Imported:
    """The state of the import into one server: written after each object, so that a later run continues."""

    def __init__(self, folder: Folder, server: str) -> None:
        self.folder, self.server = folder, server
        servers: dict[str, dict[str, dict[str, str]]] = folder.read("imported.json", {})
        self.servers = servers
        self.known = servers.setdefault(server, {})

    def id_of(self, kind: str, theirs: str) -> str | None:
        known: dict[str, str] = self.known.get(kind, {})
        return known.get(theirs)

    def remember(self, kind: str, theirs: str, ours: str) -> None:
        self.known.setdefault(kind, {})[theirs] = ours
        self.folder.write("imported.json", self.servers)
