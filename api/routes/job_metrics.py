"""How far a job is, for pages and programs that follow it: its curves, and what is new."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query
from fastapi.responses import Response

from api import isolation
from api.deps import AppState, ProjectId, Services
from api.reads import Curve
from api.schemas.job import event_object, job_object
from api.streams.chunks import json_response
from fettle.jobs import events, lifecycle, metric_series

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["fine-tuning"])

INLINE_BYTES = 16 * 1024  # of metrics, which the event loop can read itself


@router.get("/{job_id}/metrics")
async def metrics(
    job_id: str,
    project_id: ProjectId,
    services: Services,
    after: str | None = None,
    points: Annotated[int | None, Query(ge=5, le=5_000)] = None,
) -> Response:
    """Columns of equal length, with one value for each step; null where a step has none.

    With `points` each metric instead comes as a series of its own, thinned to at most so many points. `after` is the
    `last_id` of an earlier response and gives only what followed.
    """
    if after is None and points is not None:
        return json_response(await whole(services, project_id, job_id, points))
    async with services.db.snapshot() as session:
        job = await lifecycle.get(session, project_id, job_id)
        until, last_id = await events.newest_metrics(session, job.id) or (0, None)
        since = 0 if after is None else await events.seq(session, job.id, after, "after")
        lines = await events.metric_lines(session, job.id, since, until)
    argument = {"job_id": job_id, "last_id": after if until <= since else last_id, "points": points}
    return json_response(await answer(services, project_id, argument, lines))


async def whole(services: AppState, project_id: str, job_id: str, points: int) -> bytes:
    """All of a job's curves: as they were kept, with the few steps since then, or thinned again. Raises NotFound."""
    room = points // 8  # for steps that are to come
    kept = services.reads.curves.get(job_id, points)
    async with services.db.snapshot() as session:
        job = await lifecycle.get(session, project_id, job_id)
        until, last_id = await events.newest_metrics(session, job.id) or (0, None)
        argument = {"job_id": job.id, "last_id": last_id, "points": points}
        if kept is not None and kept.seq == until:
            return kept.body
        if kept is not None:
            lines = await events.metric_lines(session, job.id, kept.seq, until)
            if len(lines) <= INLINE_BYTES and lines.count(b"\n") < room:
                return metric_series.joined_answer(argument, kept.body, lines)
        lines = await events.metric_lines(session, job.id, 0, until)
    # It may wait for a process, so no connection to the database is held any more
    body = await answer(services, project_id, argument | {"points": points - room}, lines)
    services.reads.curves.keep(job_id, points, Curve(until, body))
    return body


async def answer(services: AppState, project_id: str, argument: dict[str, Any], lines: bytes) -> bytes:
    points = argument["points"]
    few = points is None or lines.count(b"\n") < points  # nothing to thin
    if few and len(lines) <= INLINE_BYTES:  # what a program that follows a job asks for every few seconds
        return metric_series.answer(argument, lines)
    return await isolation.run(services.pool, "metric_columns", project_id, "metrics", argument, lines, seconds=30)


@router.get("/{job_id}/updates")
async def updates(job_id: str, project_id: ProjectId, services: Services, after: str | None = None) -> Response:
    """The job as it is now, with the messages and the metrics that followed the event `after`, in one response.

    For pages that follow a job. `after` is the `last_id` of an earlier response. Without it the response has the newest
    100 messages and no metrics.
    """
    job, followed = await services.reads.updates_of(project_id, job_id, after)
    steps = [row.data or {} for row in followed.events if row.type == "metrics"]
    body = {
        "object": "fine_tuning.job.updates",
        "fine_tuning_job_id": job.id,
        "last_id": followed.last_id,
        "has_more": followed.has_more,
        "job": job_object(job, await services.reads.wait_of(job)),
        "messages": [event_object(row) for row in followed.events if row.type == "message"],
        "series": metric_series.series(steps, max(len(steps), 1)),
    }
    return json_response(orjson.dumps(body))
