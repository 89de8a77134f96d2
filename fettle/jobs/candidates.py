"""The queue as rows: which jobs may start next, how long each is expected to take, and what projects have used."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import ColumnElement, String, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.estimates.forecast import BORROWED, Interval
from fettle.estimates.measurements import median
from fettle.jobs import placement, runs
from fettle.jobs.placement import Candidate, Need, Offer
from models import Job, JobStatus

OF_A_PROJECT = 100  # its first queued jobs: one project's thousands must not hide another's first
LOOKED_AT = 1_000  # queued jobs in all: a look at the queue must not grow with the queue
NEWEST = 50  # ended jobs whose median stands in for one that has no estimate


@dataclass(frozen=True)
class Line:
    """waiting: in the order in which they start. takes: by job id, as far as it is known. left: of running jobs."""

    waiting: list[Candidate]
    takes: Mapping[str, Interval | None]
    left: Sequence[Interval | None]


async def line(session: AsyncSession, *conditions: ColumnElement[bool]) -> Line:
    """conditions: on the queued jobs."""
    usual = await usual_seconds(session)
    takes: dict[str, Interval | None] = {}
    found = []
    for job in await first(session, conditions):
        takes[job.id] = seconds = expected(job.estimate, usual)
        found.append(
            Candidate(
                id=job.id,
                project_id=job.project_id,
                created_at=job.created_at,
                seconds=likely(seconds),
                priority=job.priority,
                need=need_of(job.resources),
            )
        )
    used = await runs.used(session)
    left = []
    for job in await running(session):
        left.append(seconds := remaining(job.estimated_finish, job.estimate, usual))
        used[job.project_id] = used.get(job.project_id, 0.0) + placement.charge(likely(seconds))
    return Line(list(placement.order(found, used, time.time())), takes, left)


async def first(session: AsyncSession, conditions: Sequence[ColumnElement[bool]]) -> Sequence[Any]:
    """Of each project the jobs of the highest priority, the oldest first."""
    place = func.row_number().over(partition_by=Job.project_id, order_by=(Job.priority.desc(), Job.created_at, Job.id))
    waiting = select(Job.id, place.label("place")).where(Job.status == JobStatus.QUEUED, *conditions).subquery()
    columns = (Job.id, Job.project_id, Job.created_at, Job.priority, Job.resources, Job.estimate)
    rows = select(*columns).join(waiting, waiting.c.id == Job.id).where(waiting.c.place <= OF_A_PROJECT)
    rows = rows.order_by(waiting.c.place, Job.created_at, Job.id).limit(LOOKED_AT)
    return (await session.execute(rows)).all()


async def fits(session: AsyncSession, offer: Offer) -> ColumnElement[bool]:
    """Of a queued job: whether the slot has what it asks for. A job that must wait for another slot hides none."""
    asked = cast(Job.resources, String)
    kinds = select(asked).where(Job.status == JobStatus.QUEUED, asked.is_not(None)).distinct().limit(LOOKED_AT)
    needs = {text: need_of(orjson.loads(text)) for text in await session.scalars(kinds)}
    able = [text for text, need in needs.items() if placement.lacks(need, offer) is None]
    return asked.is_(None) | asked.in_(able)


async def running(session: AsyncSession) -> Sequence[Any]:
    columns = (Job.project_id, Job.estimated_finish, Job.estimate)
    return (await session.execute(select(*columns).where(Job.status == JobStatus.RUNNING).limit(LOOKED_AT))).all()


def need_of(resources: dict[str, Any] | None) -> Need:
    asked = resources or {}
    return Need(asked.get("gpus"), asked.get("gpu_memory_gib"), frozenset(asked.get("labels") or ()))


def expected(estimate: dict[str, Any] | None, usual: float | None) -> Interval | None:
    """What a job takes from its start. usual: seconds of one that has no estimate; None: not known."""
    if seconds := (estimate or {}).get("seconds"):
        return Interval(seconds["likely"], seconds["low"], seconds["high"])
    return None if usual is None else Interval(usual, usual / BORROWED, usual * BORROWED)


def likely(seconds: Interval | None) -> float | None:
    return seconds.likely if seconds else None


def remaining(finish: float | None, estimate: dict[str, Any] | None, usual: float | None) -> Interval | None:
    """What a running job still takes."""
    whole = expected(estimate, usual)
    if finish is None:
        return whole
    left = max(0.0, finish - time.time())
    return whole.times(left / whole.likely) if whole and whole.likely else Interval(left, left, left)


async def usual_seconds(session: AsyncSession) -> float | None:
    measured = (Job.status == JobStatus.SUCCEEDED, Job.measured.is_not(None), cast(Job.measured, String) != "null")
    newest = select(Job.measured).where(*measured).order_by(Job.created_at.desc()).limit(NEWEST)
    return median(float(each["seconds"]) for each in await session.scalars(newest) if each)
