"""What each API key has used: GPU time and tokens within a span of time, and what it has in storage now."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from fettle.db import database_now
from models import File, Job, Run

KEYS_AT_MOST = 10_000  # keys of a project, or of all, in one answer

Owner = tuple[InstrumentedAttribute[str], InstrumentedAttribute[str | None]]  # project and key of a row
Statement = Any  # a SELECT of a project, a key and a number; SQLAlchemy's type holds the number's own
Rows = dict[tuple[str, str | None], dict[str, float]]


@dataclass(frozen=True)
class KeyUsage:
    """key_id: None for what was there before keys were noted. bytes: of its files, and of what its jobs keep."""

    project_id: str
    key_id: str | None
    gpu_seconds: float = 0.0
    trained_tokens: int = 0
    bytes: int = 0


async def by_key(session: AsyncSession, project_id: str | None, since: float, until: float) -> list[KeyUsage]:
    """project_id: None for all. since, until: seconds since 1970. A CPU slot counts as one GPU."""
    owner = (Job.project_id, Job.created_by)
    began = case((Run.started_at < since, since), else_=Run.started_at)
    stop = func.coalesce(Run.ended_at, database_now())
    held = (case((stop > until, until), else_=stop) - began) * case((Run.gpus > 1, Run.gpus), else_=1)
    gpu = select(*owner, func.sum(held)).join(Run, Run.job_id == Job.id).where(Run.started_at < until, stop > since)
    ended = (Job.finished_at >= since, Job.finished_at < until, Job.trained_tokens.is_not(None))
    tokens = select(*owner, func.sum(Job.trained_tokens)).where(*ended)
    jobs = select(*owner, func.sum(Job.stored_bytes)).where(Job.stored_bytes > 0)
    uploads = select(File.project_id, File.created_by, func.sum(File.bytes)).where(File.storage_key.not_like("jobs/%"))
    found: Rows = defaultdict(lambda: defaultdict(float))
    sums: list[tuple[str, Statement]] = [("gpu_seconds", gpu), ("trained_tokens", tokens), ("bytes", jobs)]
    for name, statement in sums:
        await collect(session, found, name, statement, project_id, owner)
    await collect(session, found, "bytes", uploads, project_id, (File.project_id, File.created_by))
    return [
        KeyUsage(project, key, round(used["gpu_seconds"], 1), int(used["trained_tokens"]), int(used["bytes"]))
        for (project, key), used in sorted(found.items(), key=lambda each: (each[0][0], each[0][1] or ""))
    ]


async def collect(
    session: AsyncSession,
    found: Rows,
    name: str,
    statement: Statement,
    project_id: str | None,
    owner: Owner,
) -> None:
    if project_id is not None:
        statement = statement.where(owner[0] == project_id)
    for project, key, amount in (await session.execute(statement.group_by(*owner).limit(KEYS_AT_MOST))).all():
        found[project, key][name] += float(amount or 0)


def to_csv(rows: Iterable[KeyUsage]) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, [field.name for field in fields(KeyUsage)], lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(row) for row in rows)
    return text.getvalue()
