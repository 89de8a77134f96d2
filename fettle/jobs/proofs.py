"""Proofs as rows: one for each adapter that a job publishes, found by the job, and by what is still to be checked."""

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.errors import NotFound
from fettle.jobs import events, proof_checks
from models import Job, JobStatus, Proof, TunedModel

CHECKED_AGAIN_FOR = 7 * 24 * 3600  # seconds after which an engine that never answered is no longer waited for
GONE = "Not checked, and cannot be any more: the training file, whose rows would be compared, was deleted."


async def of_job(session: AsyncSession, job: Job) -> Sequence[Proof]:
    """The job's own first. Raises NotFound, which says why there is none."""
    rows = (await session.scalars(select(Proof).where(Proof.job_id == job.id).order_by(Proof.kind))).all()
    if job.status != JobStatus.SUCCEEDED or not rows:
        why = (
            f"is {job.status}: the proof is written when it succeeds"
            if job.status != JobStatus.SUCCEEDED
            else "succeeded before there were proofs"
        )
        raise NotFound(f"The job {job.id!r} {why}.", code="proof_not_found")
    return sorted(rows, key=lambda row: row.model != job.fine_tuned_model)


async def save(session: AsyncSession, proof: Proof) -> None:
    """In the place of one of an earlier attempt. What its checks warn of becomes events."""
    await session.merge(proof)
    for each in proof_checks.warnings(proof.checks):
        events.add(session, proof.job_id, each["message"], level="warn", data={"check": each["name"]})


async def unserved(session: AsyncSession, limit: int) -> Sequence[Proof]:
    """Of models that no engine was compared with, the newest first."""
    statement = (
        select(Proof)
        .join(TunedModel, TunedModel.name == Proof.model)
        .join(Job, Job.id == Proof.job_id)
        .where(Proof.probe.is_not(None), Proof.created_at > time.time() - CHECKED_AGAIN_FOR)
        .where(Job.status == JobStatus.SUCCEEDED)
        .order_by(Proof.created_at.desc(), Proof.kind)
    )
    return (await session.scalars(statement.limit(limit))).all()


async def served(session: AsyncSession, proof: Proof, found: proof_checks.Check) -> bool:
    """Takes down what the comparison with an engine found, once. False: another worker has done so."""
    row = await session.get(Proof, (proof.job_id, proof.kind), with_for_update=True)
    if row is None or row.probe is None:
        return False
    row.probe = None
    row.checks = [found if each["name"] == proof_checks.SERVED else each for each in row.checks]
    if found["status"] in ("warning", "failed"):
        events.add(session, row.job_id, found["message"], level="warn", data={"check": found["name"]})
    return True


def checks_of(proof: Proof) -> list[dict[str, Any]]:
    """As they are shown."""
    waits = proof.probe is not None
    return [
        each | {"message": GONE} if each == proof_checks.waiting_for_engine() and not waits else each
        for each in proof.checks
    ]
