"""A job's history: messages for people, and one event of type `metrics` for each step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Text, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids
from fettle.errors import InvalidRequest
from fettle.jobs import step_metrics
from fettle.pagination import page
from models import Event

MESSAGES_TOLD, MESSAGE_SHOWN = 200, 1000  # in a report: from each end, and characters of one
LAST = 2**63 - 1  # a seq that no event reaches
LINES_AT_ONCE = 20_000  # metrics events in one answer of the database
MESSAGES_FIRST = 100  # that a look at a job begins with
FOLLOWING_AT_MOST = 50  # events that a later look returns
Level = Literal["info", "warn", "error"]
Type = Literal["message", "metrics"]


@dataclass(frozen=True)
class Following:
    """Events, oldest first. last_id: where the next look goes on. has_more: there are others by now."""

    events: Sequence[Event]
    last_id: str | None
    has_more: bool


NOTHING = Following((), None, has_more=False)


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


async def following(session: AsyncSession, job_id: str, event_id: str | None) -> Following:
    """What followed an event; without one, the newest messages. Raises InvalidRequest.

    One query: the event itself is read as well, and is missing only if the job has no such event.
    """
    if event_id is None:
        last = await session.scalar(select(Event.id).where(Event.job_id == job_id).order_by(Event.seq.desc()).limit(1))
        messages, _ = await newest(session, job_id, after=None, limit=MESSAGES_FIRST, type="message")
        return Following(messages[::-1], last, has_more=False)
    start = select(Event.seq).where(Event.job_id == job_id, Event.id == event_id).scalar_subquery()
    statement = select(Event).where(Event.job_id == job_id, Event.seq >= start).order_by(Event.seq)
    found = (await session.scalars(statement.limit(FOLLOWING_AT_MOST + 2))).all()
    if not found:
        raise no_event(event_id, "after")
    rows = found[1 : FOLLOWING_AT_MOST + 1]
    return Following(rows, rows[-1].id if rows else event_id, has_more=len(found) > FOLLOWING_AT_MOST + 1)


async def seq(session: AsyncSession, job_id: str, event_id: str, param: str = "last-event-id") -> int:
    """Where an event of the job stands. Raises InvalidRequest."""
    found = await session.scalar(select(Event.seq).where(Event.job_id == job_id, Event.id == event_id))
    if found is None:
        raise no_event(event_id, param)
    return found


def no_event(event_id: str, param: str) -> InvalidRequest:
    return InvalidRequest(f"The job has no event {event_id!r} to go on from.", param=param)


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


async def newest_metrics(session: AsyncSession, job_id: str) -> tuple[int, str] | None:
    """seq and id of the last metrics event; None without any."""
    statement = select(Event.seq, Event.id).where(Event.job_id == job_id, Event.type == "metrics")
    found = (await session.execute(statement.order_by(Event.seq.desc()).limit(1))).first()
    return None if found is None else (found.seq, str(found.id))


async def metric_lines(session: AsyncSession, job_id: str, after: int = 0, until: int = LAST) -> bytes:
    """Metrics events that follow the seq `after`, up to `until`, as they are stored, a line of JSON each.

    The database puts the lines together: rows one by one would be the slowest part of a long curve by far.
    """
    parts: list[str] = []
    while True:
        rows = (  # its limit makes the database sort the rows before they are put together
            select(Event.seq, cast(Event.data, Text).label("line"))
            .where(Event.job_id == job_id, Event.type == "metrics", Event.seq > after, Event.seq <= until)
            .order_by(Event.seq)
            .limit(LINES_AT_ONCE)
            .subquery()
        )
        statement = select(func.aggregate_strings(rows.c.line, "\n"), func.max(rows.c.seq))
        text, seq = (await session.execute(statement)).one()
        if seq is None:
            return "\n".join(parts).encode()
        parts.append(text)
        after = seq


async def newest_step(session: AsyncSession, job_id: str) -> int:
    """The highest step that the feed has told of; 0 for none."""
    told = select(Event.data).where(Event.job_id == job_id, Event.type == "metrics")
    return max((int((data or {}).get("step", 0)) for data in await session.scalars(told)), default=0)
