"""What storage holds and no row refers to: the uploads of runs that died, and of workers that were fenced.

No grace period is needed: only the holder of a running job's newest fence can make an upload count, so that what
lies under an older one is litter for good. Jobs that this database does not know are left alone: it may have been
restored from a backup, or be the wrong one.
"""

import contextlib
import re
import time
from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import select

from fettle.db import Database
from fettle.storage import Missing, Storage, artifacts, usage
from models import Checkpoint, File, Job, JobStatus, RolloutChunk, TunedModel

# Whatever lies under a fence was put there by that run: a checkpoint, a step's rollouts, an adapter, a result file
UNIT = re.compile(r"jobs/(?P<job>[^/]+)/(?P<fence>\d+)/(?:(?P<kind>checkpoints|rollouts)/[^/]+|[^/]+)")
JOBS_AT_ONCE = 500  # bound parameters of one query
DAY = 24 * 3600


async def collect(db: Database, storage: Storage, *, resume_days: float = 7) -> list[str]:
    """Deletes it, and what only a resume needs from the checkpoints of jobs that no resume reaches any more.

    resume_days: how long a failed job can be resumed. What is left is written down as each job's `stored_bytes`.
    Returns the prefixes that were deleted.
    """
    units: dict[str, dict[str, int]] = defaultdict(dict)  # job → prefix → fence
    keys: dict[str, list[str]] = defaultdict(list)  # prefix → objects
    untrimmed: dict[str, set[str]] = defaultdict(set)  # prefix of a checkpoint → names that only a resume needs
    sizes = await storage.sizes("jobs")
    for key in sizes:
        if found := UNIT.match(key):
            units[found["job"]][found[0]] = int(found["fence"])
            keys[found[0]].append(key)
            if found["kind"] == "checkpoints" and (name := key.rsplit("/", 1)[1]) not in SERVED:
                untrimmed[found[0]].add(name)
    collected = []
    found_ids = sorted(units)
    for start in range(0, len(found_ids), JOBS_AT_ONCE):
        # Listed first, read then: whatever came in between lies under a fence that is still current
        jobs, used = await referred(db, found_ids[start : start + JOBS_AT_ONCE])
        for job_id, job in jobs.items():
            for prefix, fence in units[job_id].items():
                current = job.status == JobStatus.RUNNING and job.fence == fence
                if prefix not in used and not current:
                    await storage.delete(prefix)
                    collected.append(prefix)
                    for key in keys[prefix]:
                        del sizes[key]
                elif prefix in untrimmed and is_over(job, resume_days):
                    with contextlib.suppress(Missing, artifacts.Corrupt):  # deleted meanwhile, or damaged
                        await artifacts.trim(storage, prefix, sorted(untrimmed[prefix]))
                        for name in untrimmed[prefix]:
                            del sizes[f"{prefix}/{name}"]
    await usage.note_all(db, sizes)
    return collected


SERVED = artifacts.ADAPTER_FILES | {artifacts.MANIFEST}  # of a checkpoint; all else is for a resume, and most of it


def is_over(job: Job, resume_days: float) -> bool:
    """Whether no resume can reach its checkpoints any more."""
    if job.status == JobStatus.FAILED:
        return (job.finished_at or 0) < time.time() - resume_days * DAY
    return job.status.is_terminal


async def referred(db: Database, job_ids: Sequence[str]) -> tuple[dict[str, Job], set[str]]:
    """The jobs that there are, and the prefixes that their rows name."""
    async with db.snapshot() as session:
        jobs = {job.id: job for job in await session.scalars(select(Job).where(Job.id.in_(job_ids)))}
        used = set(await session.scalars(select(Checkpoint.prefix).where(Checkpoint.job_id.in_(job_ids))))
        used |= set(await session.scalars(select(RolloutChunk.storage_key).where(RolloutChunk.job_id.in_(job_ids))))
        used |= set(await session.scalars(select(TunedModel.prefix).where(TunedModel.job_id.in_(job_ids))))
        results = [file for job in jobs.values() for file in job.result_files]
        used |= set(await session.scalars(select(File.storage_key).where(File.id.in_(results))))
    return jobs, used
