"""Rows that a test starts from."""

from typing import Any

from sqlalchemy import func, select

from fettle import methods
from fettle.datasets import files
from fettle.db import Database
from fettle.jobs import leases, lifecycle, planning
from fettle.registry.catalog import BUILT_IN
from fettle.tenancy import projects
from models import Event, File, Job, JobStatus, Project

METHOD = methods.SupervisedMethod(type="supervised")


async def dataset(db: Database, project: Project, rows: int = 100) -> File:
    """The row of a good dataset; nothing is in storage."""
    file = files.new(project.id, "sums.jsonl", files.PURPOSE, 1000)
    file.report = {"rows": rows, "summary": None}
    async with db.transaction() as session:
        session.add(file)
    return file


def request(file: File, **changes: Any) -> planning.Request:
    """A request whose body says what its fields say."""
    fields = {"model": "starter", "training_file": file.id, **changes}
    sent = {name: value for name, value in fields.items() if name not in ("idempotency_key", "retry", "method")}
    return planning.Request(**{"method": METHOD, "body": sent, **fields})


async def create(db: Database, project: Project, wanted: planning.Request) -> tuple[Job, bool]:
    """One request of the API: a transaction of its own."""
    async with db.transaction() as session:
        return await lifecycle.create(session, project, wanted, BUILT_IN)


async def job(db: Database, project: Project, **columns: Any) -> Job:
    """A queued job, changed as the columns say."""
    made, _ = await create(db, project, request(await dataset(db, project)))
    return await change(db, made, **columns) if columns else made


async def change(db: Database, row: Job, **columns: Any) -> Job:
    async with db.transaction() as session:
        changed = await session.get_one(Job, row.id)
        for name, value in columns.items():
            setattr(changed, name, value)
    return changed


async def claim(db: Database, owner: str = "worker-1", lease_seconds: float = 60) -> Job | None:
    async with db.transaction() as session:
        return await leases.claim(session, owner, lease_seconds)


async def claimed(db: Database, project: Project, owner: str = "worker-1", lease_seconds: float = 60) -> Job:
    """A job that is running."""
    await job(db, project)
    found = await claim(db, owner, lease_seconds)
    assert found is not None
    return found


async def read(db: Database, row: Job) -> Job:
    """The job as it stands now."""
    async with db.snapshot() as session:
        return await session.get_one(Job, row.id)


async def count(db: Database, row: type) -> int:
    async with db.snapshot() as session:
        return await session.scalar(select(func.count()).select_from(row)) or 0


async def messages(db: Database, job: Job) -> list[str]:
    """Of the job's events, oldest first."""
    async with db.snapshot() as session:
        return list(await session.scalars(select(Event.message).where(Event.job_id == job.id).order_by(Event.seq)))


async def stranger(db: Database, name: str = "stranger") -> Project:
    """Another tenant."""
    async with db.transaction() as session:
        return await projects.ensure(session, name)


ENDED = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)
