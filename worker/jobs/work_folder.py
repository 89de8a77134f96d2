"""The folder that a training child reads and writes: spec, datasets, the last checkpoint, results."""

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import orjson
import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import methods
from fettle.errors import FettleError, NotFound, TrainingFailed
from fettle.host import cpu
from fettle.jobs import events
from fettle.registry import catalog, tuned_models
from fettle.storage import Missing, artifacts
from models import Checkpoint, File, Job, JobStatus
from worker.attempts.attempt import Attempt
from worker.attempts.resources import Resources

log = structlog.get_logger()

Result = TypeVar("Result")


def path(attempt: Attempt) -> Path:
    """Nodes of a gang may share a disk: each has a folder of its own."""
    name = f"{attempt.job.id}.{attempt.node}" if attempt.node else attempt.job.id
    return attempt.settings.data.absolute() / "work" / name / str(attempt.job.fence)


async def prepare(attempt: Attempt, folder: Path) -> None:
    """Fills the folder. Raises TrainingFailed."""
    await asyncio.to_thread(shutil.rmtree, folder.parent, ignore_errors=True)  # what a dead predecessor left
    (folder / "out").mkdir(parents=True)
    try:
        entry = catalog.find(attempt.resources.models, attempt.job.base_model)
        base_path = await alone(lambda: catalog.local_path(entry, attempt.settings.hf_token))
    except FettleError as error:
        raise TrainingFailed("base_model_unavailable", error.message, "model") from error
    base = {
        "name": attempt.job.base_model,
        "path": str(base_path.absolute()),
        "hub": entry.hub,
        "revision": entry.revision,
    }
    spec = {
        "method": attempt.job.method,
        "seed": attempt.job.seed,
        "base_model": base,
        "threads": attempt.resources.threads,
        "cpu_bf16": attempt.settings.cpu_bf16 and cpu.bf16_pays(base_path),
    }
    await asyncio.to_thread((folder / "spec.json").write_bytes, orjson.dumps(spec))
    await fetch(attempt, attempt.job.training_file, folder / "train")
    if attempt.job.validation_file is not None:
        await fetch(attempt, attempt.job.validation_file, folder / "valid")
    if attempt.job.started_from is not None:
        await fetch_start(attempt, attempt.job.started_from, folder / "start")
    if (reward_model := methods.existing_reward_model(attempt.job.method)) is not None:
        await fetch_start(attempt, reward_model, folder / "reward_model")
    await fetch_checkpoint(attempt, folder / "resume")


async def fetch(attempt: Attempt, file_id: str, path: Path) -> None:
    file = await attempt.read(lambda session: session.get(File, file_id))
    if file is None:
        raise TrainingFailed("file_deleted", f"The file {file_id!r} was deleted before the job could read it.")
    try:
        await attempt.retry(lambda: attempt.storage.get_file(file.storage_key, path))
    except Missing as error:
        raise TrainingFailed("file_missing", f"The content of the file {file_id!r} is missing from storage.") from error


async def fetch_start(attempt: Attempt, name: str, folder: Path) -> None:
    """The adapter that the job goes on from, or learns from."""
    try:
        model = await attempt.read(lambda session: tuned_models.find(session, attempt.job.project_id, name))
        await attempt.retry(lambda: artifacts.download(attempt.storage, model.prefix, folder, only=artifacts.ADAPTER))
    except NotFound as error:
        raise TrainingFailed("model_deleted", f"{name!r} was deleted before the job could continue from it.") from error
    except (Missing, artifacts.Corrupt) as error:
        raise TrainingFailed("model_missing", f"The adapter of {name!r} is missing or damaged in storage.") from error


async def fetch_checkpoint(attempt: Attempt, folder: Path) -> None:
    """The newest checkpoint that storage gives back whole; no folder when there is none."""

    async def saved(session: AsyncSession) -> Sequence[Checkpoint]:
        statement = select(Checkpoint).where(Checkpoint.job_id == attempt.job.id).order_by(Checkpoint.step.desc())
        return (await session.scalars(statement)).all()

    for checkpoint in await attempt.read(saved):
        try:
            await attempt.retry(partial(artifacts.download, attempt.storage, checkpoint.prefix, folder))
        except (Missing, artifacts.Corrupt) as error:
            log.warning("checkpoint_unusable", job_id=attempt.job.id, step=checkpoint.step, error=str(error))
            message = f"The checkpoint of step {checkpoint.step} is damaged. The job will use an earlier state."
            await attempt.tell(message, "warn")
            continue
        await tell_repeats(attempt, checkpoint.step)
        return
    await tell_repeats(attempt, 0)


async def tell_repeats(attempt: Attempt, step: int) -> None:
    """What an attempt that died had told of later steps stays in the feed, and comes again; the metrics count it once.

    step: of the checkpoint that the run goes on from.
    """
    told = await attempt.read(lambda session: events.newest_step(session, attempt.job.id))
    if told > step:
        begin = f"from the checkpoint of step {step}" if step else "from the beginning"
        steps = f"Steps {step + 1} to {told} appear" if told > step + 1 else f"Step {told} appears"
        message = f"The job continues {begin}. {steps} again in these events. Metrics use the new values only."
        data = {"resumed_after": step, "repeated_from": step + 1, "repeated_to": told}
        await attempt.tell(message, data=data)


async def sweep(resources: Resources) -> None:
    """Removes the folders of runs that are over: their workers died and nobody ran the job here again."""
    root = resources.settings.data.absolute() / "work"
    for folder in list(root.glob("*/*")):  # listed first, read then: a job is claimed before its folder is made
        async with resources.db.snapshot() as session:
            job = await session.get(Job, folder.parent.name.partition(".")[0])
        if job is None or job.status != JobStatus.RUNNING or str(job.fence) != folder.name:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                folder.parent.rmdir()


async def alone(function: Callable[[], Result]) -> Result:
    """On a thread of its own: one that hangs is left behind when the job ends, and takes no other work's place."""
    executor = ThreadPoolExecutor(1)
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, function)
    finally:
        executor.shutdown(wait=False)


def log_tail(folder: Path, lines: int = 20) -> list[str]:
    """The last lines that the child printed."""
    try:
        return (folder / "log.txt").read_text(errors="replace").splitlines()[-lines:]
    except OSError:
        return []
