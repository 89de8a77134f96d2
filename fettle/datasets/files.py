"""Files: uploaded datasets and the results that jobs leave behind."""

import re
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids, methods
from fettle.datasets.formats.validation import Report
from fettle.datasets.ingest import Upload
from fettle.errors import Conflict, InvalidRequest, NotFound
from fettle.pagination import page
from fettle.storage import deletions
from models import ENDED, GOING, Batch, File, FileStatus, Job, Proof

PURPOSE, RESULTS = "fine-tune", "fine-tune-results"
EVALS, BATCH, USER_DATA = "evals", "batch", "user_data"
PURPOSES = (PURPOSE, EVALS, BATCH, USER_DATA)  # of uploads
EXPIRES_SECONDS = (3600, 30 * 24 * 3600)  # the shortest and the longest life that a client may choose
EXPIRED_AT_ONCE = 500
MIN_TRAINING_ROWS = 10  # OpenAI's rule: below it no method learns anything


def storage_key(project_id: str, file_id: str) -> str:
    return f"files/{project_id}/{file_id}"


def described(project_id: str, path: Path, filename: str, report: Report) -> File:
    """The row of an uploaded dataset that was validated; its object and the row are the caller's to store.

    A bad dataset is kept as well, with status `error` and its report, so that its owner can read what to fix.
    """
    file = new(project_id, filename, PURPOSE, path.stat().st_size)
    file.status = FileStatus.PROCESSED if report.ok else FileStatus.ERROR
    file.report = {**report.to_json(), "summary": None if report.ok else report.summary()}
    return file


async def named(session: AsyncSession, storage_key: str) -> bool:
    """Whether a file has this object."""
    return await session.scalar(select(File.id).where(File.storage_key == storage_key)) is not None


async def received(project_id: str, upload: Upload, filename: str, purpose: str) -> File:
    """The row of a whole upload. A dataset is validated; a file of another purpose is kept as it came."""
    if purpose == PURPOSE:
        return described(project_id, upload.path, filename, await upload.report())
    await upload.finish()
    return new(project_id, filename, purpose, upload.size)


def plain_name(filename: str) -> str:
    """Clients may send a path, of Windows too."""
    return re.split(r"[/\\]", filename)[-1] or "upload"


def expired(file: File) -> bool:
    return file.expires_at is not None and file.expires_at <= time.time()


def new(project_id: str, filename: str, purpose: str, size: int) -> File:
    file_id = ids.new("file-")
    filename = plain_name(filename)
    return File(
        id=file_id,
        project_id=project_id,
        purpose=purpose,
        filename=filename,
        bytes=size,
        storage_key=storage_key(project_id, file_id),
        status=FileStatus.PROCESSED,
    )


async def get(session: AsyncSession, project_id: str, file_id: str, *, lock: bool = False) -> File:
    file = await session.get(File, file_id, with_for_update=lock)
    if file is None or file.project_id != project_id or expired(file):
        raise NotFound(f"The file {file_id!r} does not exist. GET /v1/files lists your files.", param="file_id")
    return file


async def newest(
    session: AsyncSession, project_id: str, *, purpose: str | None, after: str | None, limit: int, newest_first: bool
) -> tuple[list[File], bool]:
    alive = or_(File.expires_at.is_(None), File.expires_at > time.time())
    statement = select(File).where(File.project_id == project_id, alive)
    if purpose:
        statement = statement.where(File.purpose == purpose)
    order = (File.created_at, File.id)
    return await page(session, statement, order, File.id, after=after, limit=limit, newest_first=newest_first)


async def for_training(
    session: AsyncSession,
    project_id: str,
    file_id: str,
    param: str,
    minimum: int,
    shapes: Collection[str],
    hint: str = "",
) -> File:
    """The file if a job can train on it. shapes: of the rows that its method takes. hint: another way to take more.

    Raises InvalidRequest with what to fix.
    """
    # Locked until the job's row is there as well: a delete at the same moment waits, and finds the file in use
    file = await session.get(File, file_id, with_for_update={"read": True})
    if file is None or file.project_id != project_id or expired(file):
        raise InvalidRequest(
            f"The file {file_id!r} does not exist. Upload it first.", code="file_not_found", param=param
        )
    report: dict[str, Any] = file.report or {}
    if file.purpose != PURPOSE:
        raise InvalidRequest(
            f"The file {file_id!r} has the purpose {file.purpose!r}. Jobs need a file with the purpose {PURPOSE!r}.",
            param=param,
        )
    if file.status == FileStatus.ERROR:
        raise InvalidRequest(f"{file.filename}: {report['summary']}", code=f"invalid_{param}", param=param)
    if report.get("shape") not in (None, *shapes):
        takers = [name for name, spec in methods.METHODS.items() if report["shape"] in spec.shapes and name != "grpo"]
        raise InvalidRequest(
            f"{file.filename} holds rows of the shape {report['shape']!r}, but the job's method takes: "
            f"{', '.join(sorted(shapes))}. Choose the method {' or '.join(map(repr, takers))}, or write the rows as "
            f"this one wants them.{answers_of(report)}{hint}",
            code=f"invalid_{param}",
            param=param,
        )
    if report["rows"] < minimum:
        what = "Training" if minimum > 1 else "Validation"
        raise InvalidRequest(
            f"{what} file has {report['rows']} example(s), but must have at least {minimum} examples.",
            code="invalid_n_examples",
            param=param,
        )
    return file


def answers_of(report: dict[str, Any]) -> str:
    """Of a file of prompts: where the answers are that a method lacks."""
    if report["shape"] != "prompts":
        return ""
    notes = (note["fix"] for note in report.get("notes", []) if note["code"] == "answer_is_an_item")
    return next((f" {fix}" for fix in notes), " Its rows end with the prompt, without an answer.")


async def delete(session: AsyncSession, project_id: str, file_id: str) -> File:
    """Deletes the row; the caller deletes the object after the commit. Raises Conflict while a job needs it."""
    file = await get(session, project_id, file_id, lock=True)
    if found := await user(session, file_id):
        raise Conflict(f"The file {file_id!r} is in use by {found}. Cancel it first.", code="file_in_use")
    await forget(session, project_id, file_id)
    await session.delete(file)
    return file


async def user(session: AsyncSession, file_id: str) -> str | None:
    """The job or batch that still needs the file."""
    needed = select(Job.id).where(
        Job.status.not_in(ENDED),
        or_(Job.training_file == file_id, Job.validation_file == file_id),
    )
    if (job_id := await session.scalar(needed)) is not None:
        return f"the job {job_id!r}"
    batch_id = await session.scalar(select(Batch.id).where(Batch.input_file == file_id, Batch.status.in_(GOING)))
    return None if batch_id is None else f"the batch {batch_id!r}"


async def expire(session: AsyncSession) -> list[str]:
    """Deletes the rows of files whose time is over and that no job needs; returns the keys of their objects."""
    over = select(File).where(File.expires_at <= time.time()).limit(EXPIRED_AT_ONCE).with_for_update(skip_locked=True)
    keys = []
    for file in (await session.scalars(over)).all():
        if await user(session, file.id) is None:
            await forget(session, file.project_id, file.id)
            await deletions.plan(session, file.storage_key)
            keys.append(file.storage_key)
            await session.delete(file)
    return keys


async def forget(session: AsyncSession, project_id: str, file_id: str) -> None:
    """Takes the rows of a training file out of the proofs of its jobs."""
    jobs = select(Job.id).where(Job.project_id == project_id, Job.training_file == file_id)
    await session.execute(
        update(Proof).where(Proof.job_id.in_(jobs)).values(probe=None).execution_options(synchronize_session=False)
    )
