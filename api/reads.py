"""What pollers and followers ask for again and again, read for all of them at once."""

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import select
from sse_starlette import ServerSentEvent

from api.dataloader import Batch
from api.pagination import listing
from api.schemas.job import event_object
from fettle.db import Database
from fettle.errors import InvalidRequest, Unauthenticated
from fettle.jobs import events, lifecycle, waiting
from fettle.settings import Settings
from fettle.tenancy import api_keys, sessions
from models import ApiKey, Event, Job, JobStatus

Page = tuple[str, int, events.Type | None]  # of events: a job, how many, and of which type

Visit = tuple[str, str | None]  # of the console: a session's secret, and whom a trusted proxy names
Place = tuple[str, str | None]  # in a job's history: the job, and the event after which it goes on
CURVES_KEPT, CURVE_BYTES = 64, 512 << 10  # thinned curves; larger ones are computed again
QUEUE_SECONDS = 1  # how old the look at the queue may be that explains why jobs wait


@dataclass(frozen=True)
class Curve:
    """seq: of the last metrics event in it. body: the whole answer."""

    seq: int
    body: bytes


class Curves:
    """Thinned curves of jobs: whoever opens a long job's page again waits only for the steps that came since."""

    def __init__(self) -> None:
        self.kept: OrderedDict[tuple[str, int], Curve] = OrderedDict()

    def get(self, job_id: str, points: int) -> Curve | None:
        if (found := self.kept.get((job_id, points))) is not None:
            self.kept.move_to_end((job_id, points))
        return found

    def keep(self, job_id: str, points: int, curve: Curve) -> None:
        if len(curve.body) > CURVE_BYTES:
            return
        self.kept[job_id, points] = curve
        while len(self.kept) > CURVES_KEPT:
            self.kept.popitem(last=False)


class Reads:
    def __init__(self, db: Database, settings: Settings, pepper: bytes) -> None:
        self.db, self.settings, self.pepper = db, settings, pepper
        self.queue: waiting.Queue | None = None
        self.queue_seen = 0.0
        self.queues = Batch(self._queue)
        self.keys = Batch(self._keys)
        self.sessions = Batch(self._sessions)
        self.jobs = Batch(self._jobs)
        self.newest_events = Batch(self._newest_events)
        self.events_since = Batch(self._events_since)
        self.updates = Batch(self._updates)
        self.curves = Curves()

    async def key(self, presented: str) -> ApiKey | None:
        """As `keys.authenticate`."""
        found = await self.keys.get(presented)
        if isinstance(found, Unauthenticated):
            raise found
        return found

    async def job(self, project_id: str, job_id: str) -> Job:
        """Raises NotFound. The row is shared: for reading only."""
        return lifecycle.owned(await self.jobs.get(job_id), project_id, job_id)

    async def updates_of(self, project_id: str, job_id: str, after: str | None) -> tuple[Job, events.Following]:
        """The job, and what followed an event. Raises NotFound and InvalidRequest. The rows are for reading only."""
        job, followed = await self.updates.get((job_id, after)) or (None, events.NOTHING)
        job = lifecycle.owned(job, project_id, job_id)
        if isinstance(followed, InvalidRequest):
            raise followed
        return job, followed

    async def wait_of(self, job: Job) -> waiting.Waiting | None:
        """Why the job waits; None when it does not."""
        if job.status != JobStatus.QUEUED:
            return None
        fresh = time.monotonic() - self.queue_seen < QUEUE_SECONDS
        if self.queue is None or not fresh or not self.queue.knows(job):
            self.queue = await self.queues.get("queue")
            self.queue_seen = time.monotonic()
        return self.queue.explain(job) if self.queue else None

    async def _queue(self, _: Sequence[str]) -> Mapping[str, waiting.Queue]:
        async with self.db.snapshot() as session:
            return {"queue": await waiting.queue(session, self.settings)}

    async def _keys(self, presented: Sequence[str]) -> Mapping[str, ApiKey | Unauthenticated | None]:
        """What each is, or why it opens nothing: one caller's refusal is not another's."""
        found: dict[str, ApiKey | Unauthenticated | None] = {}
        async with self.db.snapshot() as session:
            for key in presented:
                try:
                    found[key] = await api_keys.authenticate(session, key, self.pepper)
                except Unauthenticated as refusal:
                    found[key] = refusal
        return found

    async def _sessions(self, visits: Sequence[Visit]) -> Mapping[Visit, ApiKey]:
        """The live key that each session stands for."""
        async with self.db.snapshot() as session:
            found = {(one, who): await sessions.authenticate(session, one, self.pepper, who) for one, who in visits}
        return {visit: key for visit, key in found.items() if key is not None}

    async def _jobs(self, ids: Sequence[str]) -> Mapping[str, Job]:
        async with self.db.snapshot() as session:
            return {row.id: row for row in await session.scalars(select(Job).where(Job.id.in_(ids)))}

    async def _newest_events(self, pages: Sequence[Page]) -> Mapping[Page, bytes]:
        """The first page as it is sent."""
        found = {}
        async with self.db.snapshot() as session:
            for job_id, limit, type in pages:
                rows, has_more = await events.newest(session, job_id, after=None, limit=limit, type=type)
                found[job_id, limit, type] = orjson.dumps(listing(rows, event_object, has_more))
        return found

    async def _events_since(self, places: Sequence[tuple[str, int]]) -> Mapping[tuple[str, int], tuple[int, bytes]]:
        """(job, seq) → the last seq of what follows, and all of it as server-sent events; left out without any."""
        found = {}
        async with self.db.snapshot() as session:
            for job_id, seq in places:
                if rows := await events.since(session, job_id, seq):
                    found[job_id, seq] = rows[-1].seq, b"".join(server_sent(row) for row in rows)
        return found

    async def _updates(self, places: Sequence[Place]) -> Mapping[Place, tuple[Job, events.Following | InvalidRequest]]:
        """The job, and what followed the event or why nothing can. The job first: one that has ended has all events."""
        found: dict[Place, tuple[Job, events.Following | InvalidRequest]] = {}
        async with self.db.snapshot() as session:
            for job_id, after in places:
                if (job := await session.get(Job, job_id)) is None:
                    continue
                try:
                    found[job_id, after] = job, await events.following(session, job_id, after)
                except InvalidRequest as refusal:
                    found[job_id, after] = job, refusal
        return found


def server_sent(event: Event) -> bytes:
    return ServerSentEvent(orjson.dumps(event_object(event)).decode(), id=event.id).encode()
