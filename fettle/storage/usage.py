"""What jobs take up in storage: listed when a run ends and at every collection, and written down on their rows."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.db import Database
from fettle.storage.protocol import Storage
from models import File, Job, TunedModel

OF_JOB = re.compile(r"jobs/(?P<job>[^/]+)/")
JOBS_AT_ONCE = 500  # bound parameters of one query


def by_job(sizes: Mapping[str, int]) -> dict[str, int]:
    """sizes: of objects by key."""
    found: dict[str, int] = defaultdict(int)
    for key, size in sizes.items():
        if match := OF_JOB.match(key):
            found[match["job"]] += size
    return dict(found)


async def measure(db: Database, storage: Storage, job_id: str) -> None:
    """Of one job, whose run has just ended."""
    sizes = by_job(await storage.sizes(f"jobs/{job_id}"))
    await note(db, sizes, [job_id])


async def note_all(db: Database, sizes: Mapping[str, int]) -> None:
    """sizes: of all objects below `jobs` by key."""
    async with db.snapshot() as session:
        known = set(await session.scalars(select(Job.id).where(Job.stored_bytes > 0)))
    found = by_job(sizes)
    await note(db, found, found.keys() | known)


async def note(db: Database, sizes: Mapping[str, int], job_ids: Iterable[str]) -> None:
    """Writes down what has changed. sizes: by job; a job that is not there has nothing in storage."""
    wanted = sorted(job_ids)
    for start in range(0, len(wanted), JOBS_AT_ONCE):
        async with db.snapshot() as session:
            rows = select(Job.id, Job.stored_bytes).where(Job.id.in_(wanted[start : start + JOBS_AT_ONCE]))
            known = (await session.execute(rows)).all()
        changed = [job_id for job_id, size in known if size != sizes.get(job_id, 0)]
        async with db.transaction() as session:
            for job_id in changed:
                row = update(Job).where(Job.id == job_id).values(stored_bytes=sizes.get(job_id, 0))
                await session.execute(row.execution_options(synchronize_session=False))


async def of_project(session: AsyncSession, project_id: str) -> dict[str, int]:
    """Bytes of uploaded files and models, and of all that jobs keep: checkpoints, models, completions, results."""
    uploads = select(func.coalesce(func.sum(File.bytes), 0)).where(
        File.project_id == project_id, File.storage_key.not_like("jobs/%")
    )
    jobs = select(func.coalesce(func.sum(Job.stored_bytes), 0)).where(Job.project_id == project_id)
    models = select(func.coalesce(func.sum(TunedModel.bytes), 0)).where(TunedModel.project_id == project_id)
    found = {"files": uploads, "models": models, "jobs": jobs}
    return {name: int(await session.scalar(each) or 0) for name, each in found.items()}
