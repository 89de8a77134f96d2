"""The states of a job and how one follows another. Every change of a job's state is made here."""

from collections.abc import Mapping

from sqlalchemy import Update, update

from fettle.errors import Conflict
from models import Job, JobStatus

MOVES: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.PAUSED, JobStatus.CANCELLED}),
    JobStatus.RUNNING: frozenset(
        {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.QUEUED, JobStatus.PAUSED}
    ),
    JobStatus.PAUSED: frozenset({JobStatus.QUEUED, JobStatus.CANCELLED}),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset({JobStatus.QUEUED}),  # by a request, and only for a code in RESUMABLE
    JobStatus.CANCELLED: frozenset(),
}
ENDINGS = {
    JobStatus.SUCCEEDED: "has already succeeded",
    JobStatus.FAILED: "has already failed",
    JobStatus.CANCELLED: "is already cancelled",
}


def move(job: Job, to: JobStatus) -> None:
    """The caller has locked the job's row. Raises Conflict."""
    if to not in MOVES[job.status]:
        raise Conflict(f"{sentence(job)}. It cannot become {to}.", code="job_not_active")
    job.status = to


def moving(to: JobStatus) -> Update:
    """An UPDATE for the caller to narrow: it changes no job that may not become `to`."""
    origins = [status for status, moves in MOVES.items() if to in moves]
    return update(Job).where(Job.status.in_(origins)).values(status=to)


def sentence(job: Job) -> str:
    """For errors, without its full stop."""
    return f"The job {job.id!r} {ENDINGS.get(job.status, f'is {job.status}')}"
