"""A run whose adapter storage refused stays on this worker's disk; a resume publishes it without training again.

Only a worker on the same host can do that. While one is alive the resumed job waits for it; otherwise another worker
takes the job and goes on from its last checkpoint.
"""

import asyncio
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.jobs import events
from fettle.settings import Settings
from fettle.storage.garbage_collection import DAY
from models import STORAGE_REFUSED, Job, JobStatus
from worker import presence
from worker.attempts.attempt import Attempt
from worker.attempts.resources import Resources

log = structlog.get_logger()

RUN = "run.json"


@dataclass(frozen=True)
class Run:
    """folder: as a work folder, with the adapter where `done` says. files: result files beside the step metrics."""

    folder: Path
    done: dict[str, Any]
    files: Sequence[Path]

    @property
    def adapter(self) -> Path:
        return self.folder / str(self.done["path"])


def root(settings: Settings) -> Path:
    return settings.data.absolute() / "unpublished"


async def keep(attempt: Attempt, folder: Path, done: dict[str, Any], files: Sequence[Path]) -> None:
    """Moves what publishing needs out of the work folder. Raises Fenced."""
    target = root(attempt.settings) / attempt.job.id
    try:
        await asyncio.to_thread(move, folder, target, done, files)
    except OSError as error:  # the job still goes on from its last checkpoint
        log.warning("adapter_not_kept", error=str(error))
        await asyncio.to_thread(shutil.rmtree, target, ignore_errors=True)
        return

    def change(session: AsyncSession, row: Job) -> None:
        row.kept_by = presence.host()
        message = "The trained adapter stays on the worker's disk; when the job is resumed it is published from there"
        events.add(session, row.id, message)

    await attempt.write(change)


def move(folder: Path, target: Path, done: dict[str, Any], files: Sequence[Path]) -> None:
    """run.json comes last: a folder without it is not whole."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True, mode=0o700)
    shutil.copyfile(folder / "spec.json", target / "spec.json")
    (target / done["path"]).parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder / done["path"], target / done["path"])
    for path in files:
        shutil.copyfile(path, target / path.name)
    (target / RUN).write_bytes(orjson.dumps({"done": done, "files": [path.name for path in files]}))


def find(attempt: Attempt) -> Run | None:
    folder = root(attempt.settings) / attempt.job.id
    if attempt.job.kept_by != presence.host() or not (folder / RUN).is_file():
        return None
    run = orjson.loads((folder / RUN).read_bytes())
    return Run(folder, run["done"], [folder / name for name in run["files"]])


async def forget(attempt: Attempt) -> None:
    await asyncio.to_thread(shutil.rmtree, root(attempt.settings) / attempt.job.id, ignore_errors=True)


async def sweep(resources: Resources) -> None:
    """Removes the runs that no resume can publish any more."""
    for folder in list(root(resources.settings).glob("*")):
        async with resources.db.snapshot() as session:
            job = await session.get(Job, folder.name)
        if job is None or not is_wanted(job, resources.settings.resume_days):
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def is_wanted(job: Job, resume_days: float) -> bool:
    if job.status == JobStatus.FAILED:
        refused = (job.error or {}).get("code") == STORAGE_REFUSED
        return refused and job.kept_by == presence.host() and (job.finished_at or 0) > time.time() - resume_days * DAY
    return job.status in (JobStatus.QUEUED, JobStatus.PAUSED, JobStatus.RUNNING) and job.kept_by == presence.host()
