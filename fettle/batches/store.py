"""Batches: create, find, cancel; for workers: claim, record and end."""

import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids, leased
from fettle.batches.input_file import BYTES_AT_MOST
from fettle.datasets import files
from fettle.db import lock
from fettle.errors import Conflict, InvalidRequest, NotFound
from fettle.pagination import page
from fettle.storage import deletions
from fettle.webhooks import events as webhooks
from models import GOING, Batch, BatchAnswer, BatchStatus, File

GOING_AT_MOST = 100  # batches of a project at a time
WINDOW_SECONDS = {"24h": 24 * 3600}
OUTPUT = "batch_output"  # the purpose of its files


async def create(
    session: AsyncSession,
    project_id: str,
    *,
    endpoint: str,
    input_file: str,
    completion_window: str,
    output_expires_after: int | None,
    labels: Mapping[str, str] | None,
    created_by: str | None = None,
) -> Batch:
    """Raises InvalidRequest, and Conflict while too many of the project's batches go on."""
    await lock(session, f"{project_id} batches")
    going = select(func.count()).where(Batch.project_id == project_id, Batch.status.in_(GOING))
    if (await session.scalar(going) or 0) >= GOING_AT_MOST:
        raise Conflict(
            f"{GOING_AT_MOST} batches of this project are still in progress. Wait until one is completed, or cancel "
            "one.",
            code="too_many_batches",
        )
    # Locked until the batch's row is there as well: a delete at the same moment waits, and finds the file in use
    file = await session.get(File, input_file, with_for_update={"read": True})
    if file is None or file.project_id != project_id or files.expired(file):
        raise InvalidRequest(
            f"The file {input_file!r} does not exist. Upload it first.", code="file_not_found", param="input_file_id"
        )
    if file.purpose != files.BATCH:
        raise InvalidRequest(
            f"The file {input_file!r} has the purpose {file.purpose!r}. Upload it with the purpose {files.BATCH!r}.",
            param="input_file_id",
        )
    if file.bytes > BYTES_AT_MOST:
        raise InvalidRequest(
            f"The file {input_file!r} has {file.bytes:,} bytes, but the limit for a batch is {BYTES_AT_MOST:,}. "
            "Split it.",
            param="input_file_id",
        )
    batch = Batch(
        id=ids.new("batch_"),
        project_id=project_id,
        endpoint=endpoint,
        input_file=input_file,
        completion_window=completion_window,
        output_expires_after=output_expires_after,
        labels=None if labels is None else dict(labels),
        status=BatchStatus.VALIDATING,
        expires_at=time.time() + WINDOW_SECONDS[completion_window],
        moments={},
        total=0,
        completed=0,
        failed=0,
        input_tokens=0,
        cached_tokens=0,
        output_tokens=0,
        served_at=0.0,
        created_by=created_by,
    )
    session.add(batch)
    return batch


async def get(session: AsyncSession, project_id: str, batch_id: str, *, lock: bool = False) -> Batch:
    batch = await session.get(Batch, batch_id, with_for_update=lock)
    if batch is None or batch.project_id != project_id:
        raise NotFound(f"No batch has the id {batch_id!r}.", param="batch_id")
    return batch


async def newest(session: AsyncSession, project_id: str, *, after: str | None, limit: int) -> tuple[list[Batch], bool]:
    statement = select(Batch).where(Batch.project_id == project_id)
    return await page(session, statement, (Batch.created_at, Batch.id), Batch.id, after=after, limit=limit)


async def cancel(session: AsyncSession, project_id: str, batch_id: str) -> Batch:
    """A worker writes the files of what is answered already. Twice is as good as once. Raises NotFound, Conflict."""
    batch = await get(session, project_id, batch_id, lock=True)
    if batch.status.is_terminal:
        raise Conflict(f"The batch {batch_id!r} is {batch.status}. It cannot be cancelled.", code="batch_not_active")
    if batch.status != BatchStatus.CANCELLING:
        move(batch, BatchStatus.CANCELLING)
    return batch


def move(batch: Batch, to: BatchStatus) -> None:
    batch.status = to
    note(batch, f"{to}_at")


def note(batch: Batch, moment: str) -> None:
    batch.moments = {**batch.moments, moment: int(time.time())}


async def claim(session: AsyncSession, owner: str, lease_seconds: float) -> Batch | None:
    return await leased.claim(session, Batch, GOING, owner, lease_seconds)


async def others_wait(session: AsyncSession) -> bool:
    return await leased.others_wait(session, Batch, GOING)


async def hold(session: AsyncSession, batch_id: str, owner: str) -> Batch:
    """Raises Fenced."""
    return await leased.hold(session, Batch, GOING, batch_id, owner)


async def renew(
    session: AsyncSession, batch_id: str, owner: str, lease_seconds: float, wait_reason: str | None
) -> BatchStatus:
    """Raises Fenced."""
    status: BatchStatus = await leased.renew(session, Batch, GOING, batch_id, owner, lease_seconds, wait_reason)
    return status


async def release(session: AsyncSession, batch_id: str, owner: str) -> None:
    await leased.release(session, Batch, batch_id, owner)


async def begin(session: AsyncSession, batch_id: str, owner: str, total: int, servables: dict[str, Any]) -> None:
    """The input file is good. Raises Fenced."""
    batch = await hold(session, batch_id, owner)
    batch.total, batch.servables = total, servables
    if batch.status == BatchStatus.VALIDATING:
        move(batch, BatchStatus.IN_PROGRESS)


async def refuse(session: AsyncSession, batch_id: str, owner: str, errors: list[dict[str, Any]]) -> None:
    """The input file is not. Raises Fenced."""
    batch = await hold(session, batch_id, owner)
    batch.errors = errors
    if batch.status == BatchStatus.CANCELLING:
        end(session, batch, BatchStatus.CANCELLED)
    else:
        end(session, batch, BatchStatus.FAILED)


def end(session: AsyncSession, batch: Batch, to: BatchStatus) -> None:
    move(batch, to)
    webhooks.add(session, batch.project_id, f"batch.{to}", batch.id)
    batch.owner = batch.lease_until = batch.wait_reason = None


async def answered(session: AsyncSession, batch_id: str) -> set[int]:
    return set(await session.scalars(select(BatchAnswer.number).where(BatchAnswer.batch_id == batch_id)))


async def record(
    session: AsyncSession, batch_id: str, owner: str, answer: BatchAnswer, usage: Mapping[str, int]
) -> None:
    """Raises Fenced for a worker that no longer has the batch."""
    batch = await hold(session, batch_id, owner)
    session.add(answer)
    if answer.failed:
        batch.failed += 1
    else:
        batch.completed += 1
    batch.input_tokens += usage.get("prompt_tokens", 0)
    batch.cached_tokens += usage.get("cached_tokens", 0)
    batch.output_tokens += usage.get("completion_tokens", 0)


async def page_of_answers(session: AsyncSession, batch_id: str, failed: bool, after: int, limit: int) -> list[Any]:
    """(number, line), in the input's order."""
    statement = select(BatchAnswer.number, BatchAnswer.line).where(
        BatchAnswer.batch_id == batch_id, BatchAnswer.failed == failed, BatchAnswer.number > after
    )
    return list((await session.execute(statement.order_by(BatchAnswer.number).limit(limit))).all())


async def conclude(session: AsyncSession, batch_id: str, owner: str, to: BatchStatus, made: Mapping[str, File]) -> None:
    """made: the files by their attribute of the batch; their objects are in storage. Raises Fenced."""
    batch = await hold(session, batch_id, owner)
    for attribute, file in made.items():
        await deletions.strike_out(session, file.storage_key)
        if batch.output_expires_after is not None:
            file.expires_at = time.time() + batch.output_expires_after
        session.add(file)
        setattr(batch, attribute, file.id)
    await session.execute(delete(BatchAnswer).where(BatchAnswer.batch_id == batch_id))
    if batch.status == BatchStatus.CANCELLING:
        to = BatchStatus.CANCELLED
    if to == BatchStatus.COMPLETED:
        note(batch, "finalizing_at")
    end(session, batch, to)
