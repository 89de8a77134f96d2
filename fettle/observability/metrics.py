"""What the API tells Prometheus: its own counts, and the ledger's, which hold for the whole service.

Labels have few values: never an id, a tenant or a model. docs/metrics.md lists every name, and a test compares.
"""

import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.db import DATABASE_AWAY, Database, database_now
from models import Event, Job, JobStatus

CACHE_SECONDS = 5  # several scrapers cost the database no more than one
QUICK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # seconds

API = CollectorRegistry()

requests = Counter("fettle_http_requests", "Requests answered", ("method", "route", "status"), registry=API)
request_seconds = Histogram(
    "fettle_http_request_seconds", "Until the answer began", ("method", "route"), buckets=QUICK, registry=API
)
in_flight = Gauge("fettle_http_requests_in_flight", "Requests being answered, streams included", registry=API)
received_bytes = Counter("fettle_http_received_bytes", "Request bodies", registry=API)
sent_bytes = Counter("fettle_http_sent_bytes", "Response bodies", registry=API)
event_streams = Gauge("fettle_event_streams_open", "Clients that follow a job by server-sent events", registry=API)
loop_lag = Histogram(
    "fettle_event_loop_lag_seconds",
    "How much later than asked a timer of the API's event loop fired",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
    registry=API,
)
generations = Counter(
    "fettle_chat_requests", "Chats, responses and completions by how they ended", ("outcome",), registry=API
)
errors = Counter("fettle_errors", "A part that was away or refused", ("part",), registry=API)

database_up = Gauge("fettle_database_up", "1 when the ledger could be read at this scrape", registry=API)
jobs = Gauge("fettle_jobs", "Jobs in each status", ("status",), registry=API)
oldest_queued = Gauge("fettle_oldest_queued_seconds", "How long the oldest queued job has waited", registry=API)
lease_left = Gauge(
    "fettle_lease_expires_seconds", "Until the first running job's lease ends; negative: overdue", registry=API
)
written = Gauge("fettle_events_written", "Events of all jobs so far", registry=API)

for part in ("database", "storage", "queue", "engine"):
    errors.labels(part)
for outcome in ("answered", "refused", "unavailable"):
    generations.labels(outcome)


class Ledger:
    """The gauges that are read from the database, at most once in CACHE_SECONDS."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.read_at = -float(CACHE_SECONDS)

    async def scrape(self) -> bytes:
        """The whole page. A database that is away takes the ledger's numbers with it, not the page."""
        if time.monotonic() - self.read_at >= CACHE_SECONDS:
            self.read_at = time.monotonic()
            try:
                async with self.db.snapshot() as session:
                    await read(session)
                database_up.set(1)
            except DATABASE_AWAY:
                errors.labels("database").inc()
                database_up.set(0)
                jobs.clear()
                for gauge in (oldest_queued, lease_left, written):
                    gauge.set(float("nan"))
        return generate_latest(API)


async def read(session: AsyncSession) -> None:
    rows = await session.execute(select(Job.status, func.count()).group_by(Job.status))
    counts: dict[JobStatus, int] = {status: count for status, count in rows}  # noqa: C416 — a Row is no tuple to mypy
    for status in JobStatus:
        jobs.labels(str(status)).set(counts.get(status, 0))
    now, queued, lease = (
        await session.execute(
            select(
                database_now(),
                select(func.min(Job.created_at)).where(Job.status == JobStatus.QUEUED).scalar_subquery(),
                select(func.min(Job.lease_until)).where(Job.status == JobStatus.RUNNING).scalar_subquery(),
            )
        )
    ).one()
    oldest_queued.set(max(0.0, now - queued) if queued is not None else 0)
    lease_left.set(lease - now if lease is not None else float("nan"))
    written.set(await session.scalar(select(func.max(Event.seq))) or 0)


def count_s3_errors(client: Any) -> None:
    """S3 calls that failed after all their retries; an absent key is an answer, not an error."""

    def refused(http_response: Any, **_: Any) -> None:
        if http_response.status_code >= 500 or http_response.status_code == 403:
            errors.labels("storage").inc()

    client.meta.events.register("after-call.s3", refused)
    client.meta.events.register("after-call-error.s3", lambda **_: errors.labels("storage").inc())
