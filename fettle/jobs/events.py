"""A job's history: messages for people, and one event of type `metrics` for each step."""

from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import Text, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids
from fettle.errors import InvalidRequest
from fettle.jobs import step_metrics
from fettle.pagination import page
from models import Event

MESSAGES_TOLD, MESSAGE_SHOWN = 200, 1000  # in a report: from each end, and characters of one
Level = Literal["info", "warn", "error"]
Type = Literal["message", "metrics"]


def add(
    session: AsyncSession,
    job_id: str,
    message: str,
    *,
    level: Level = "info",
    type: Type = "message",
    data: dict[str, Any] | None = None,
) -> None:
    """The caller holds the job's row, so that events are committed in the order of `seq`: streams read on from it."""
    session.add(Event(id=ids.new("ftevent-"), job_id=job_id, level=level, type=type, message=message, data=data))


async def newest(
    session: AsyncSession, job_id: str, *, after: str | None, limit: int, type: Type | None = None
) -> tuple[list[Event], bool]:
    """A page of events, newest first, as OpenAI lists them; of one type where that is asked for."""
    statement = select(Event).where(Event.job_id == job_id)
    if type is not None:
        statement = statement.where(Event.type == type)
    return await page(session, statement, (Event.seq,), Event.id, after=after, limit=limit)


async def since(session: AsyncSession, job_id: str, seq: int, limit: int = 500) -> Sequence[Event]:
    """Events that follow `seq`, oldest first: what a stream sends next."""
    statement = select(Event).where(Event.job_id == job_id, Event.seq > seq).order_by(Event.seq).limit(limit)
    return (await session.scalars(statement)).all()


async def seq(session: AsyncSession, job_id: str, event_id: str, param: str = "last-event-id") -> int:
    """Where an event of the job stands. Raises InvalidRequest."""
    found = await session.scalar(select(Event.seq).where(Event.job_id == job_id, Event.id == event_id))
    if found is None:
        raise InvalidRequest(f"The job has no event {event_id!r} to go on from.", param=param)
    return found


async def messages(session: AsyncSession, job_id: str) -> list[dict[str, Any]]:
    """What a report tells of them, oldest first: the first and the last of a long history, each cut short."""
    columns = (Event.seq, Event.created_at, Event.level, func.substr(Event.message, 1, MESSAGE_SHOWN))
    statement = select(*columns).where(Event.job_id == job_id, Event.type == "message")
    found = {}
    for order in (Event.seq, Event.seq.desc()):
        for seq, at, level, message in (await session.execute(statement.order_by(order).limit(MESSAGES_TOLD))).all():
            found[seq] = {"created_at": at, "level": level, "message": message}
    return [found[seq] for seq in sorted(found)]


async def metrics(session: AsyncSession, job_id: str) -> dict[int, dict[str, float]]:
    """Metrics by step. Steps that a resumed run did again count once, as they were done last."""
    statement = select(Event.data).where(Event.job_id == job_id, Event.type == "metrics").order_by(Event.seq)
    return step_metrics.by_step(data or {} for data in await session.scalars(statement))


async def metric_lines(session: AsyncSession, job_id: str, after: int = 0) -> tuple[bytes, str | None]:
    """Metrics events that follow the seq `after`, as they are stored, a line of JSON each: nothing is decoded here.

    And the id of the last one, None without any.
    """
    text = cast(Event.data, Text)
    chosen = (Event.job_id == job_id, Event.type == "metrics", Event.seq > after)
    last = (
        await session.execute(select(Event.seq, Event.id).where(*chosen).order_by(Event.seq.desc()).limit(1))
    ).first()
    if last is None:
        return b"", None
    lines: list[str] = []
    result = await session.stream_scalars(select(text).where(*chosen, Event.seq <= last.seq).order_by(Event.seq))
    async for part in result.partitions(1000):
        lines += part
    return "\n".join(lines).encode(), str(last.id)


async def newest_step(session: AsyncSession, job_id: str) -> int:
    """The highest step that the feed has told of; 0 for none."""
    told = select(Event.data).where(Event.job_id == job_id, Event.type == "metrics")
    return max((int((data or {}).get("step", 0)) for data in await session.scalars(told)), default=0)
