from dataclasses import replace
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse

from api import grading, isolation
from api.deps import ProjectId, Services, Snapshot, Transaction
from api.pagination import listing
from api.schemas.rollout import RewardsEdit, rewards_object, rollout_object
from api.streams.chunks import json_response, start_reading
from fettle.errors import InvalidRequest, NotFound
from fettle.jobs import lifecycle, reward_versions
from fettle.rollouts import pages, store
from fettle.rollouts.export import Format, json_lines
from fettle.rollouts.pages import Sort
from fettle.rollouts.store import RolloutFilter

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["fine-tuning"])

LARGEST = 2**31 - 1  # of a column of numbers
Step = Annotated[int | None, Query(ge=1, le=LARGEST)]
Version = Annotated[int | None, Query(ge=1, le=LARGEST)]
Limit = Annotated[int, Query(ge=1, le=100)]


@router.get("/{job_id}/rollouts")
async def newest(
    job_id: str,
    project_id: ProjectId,
    services: Services,
    step: Step = None,
    min_reward: float | None = None,
    max_reward: float | None = None,
    reward_version: Version = None,
    error: bool | None = None,
    prompt_of: str | None = None,
    sort: Sort = "step",
    after: str | None = None,
    limit: Limit = 20,
) -> Response:
    """The completions that the job learned from; `sort=-reward` starts with the best.

    `prompt_of` takes the id of a rollout and lists what answers the same prompt, at each step that had it. A page has
    at most 1 MiB of rows, and so may have fewer than `limit`: `has_more` says whether others follow.
    """
    wanted = RolloutFilter(step, min_reward, max_reward, reward_version, error)
    read = isolation.read_rollouts(services.pool, project_id)
    like = None if prompt_of is None else pages.position(prompt_of, "prompt_of")[0]
    async with services.db.snapshot() as session:
        job = await lifecycle.get(session, project_id, job_id)
        found = await store.chunks(session, job.id, wanted)
        asked = [] if like is None else await store.chunks(session, job.id, RolloutFilter(like))
    if prompt_of is not None:
        wanted = replace(wanted, prompt=await pages.prompt_of(services.storage, asked, prompt_of, read))
    rows, has_more = await pages.page(
        services.storage,
        found,
        wanted,
        sort=sort,
        after=after,
        limit=limit,
        read=read,
    )
    return json_response(orjson.dumps(listing(rows, rollout_object, has_more)))


@router.get("/{job_id}/rollouts/export", response_model=None)
async def export(
    job_id: str,
    project_id: ProjectId,
    services: Services,
    format: Format = "jsonl",
    step: Step = None,
    min_reward: float | None = None,
    max_reward: float | None = None,
    reward_version: Version = None,
    error: bool | None = None,
) -> Response:
    """JSON Lines: one rollout per line, or with `format=dpo` the best and worst of each group as preference rows."""
    wanted = RolloutFilter(step, min_reward, max_reward, reward_version, error)
    async with services.db.snapshot() as session:
        job = await lifecycle.get(session, project_id, job_id)
        found = await store.chunks(session, job.id, wanted)
    if format == "dpo" and "tools" in job.method[job.method["type"]]:
        raise InvalidRequest(
            f"The rollouts of {job.id} have several turns with tools, which preference rows cannot hold. Use "
            "format=jsonl: 'turns' has every message.",
            param="format",
        )
    name = f"{job.id}-{'preferences' if format == 'dpo' else 'rollouts'}.jsonl"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    encode = isolation.encode_rollouts(services.pool, project_id)
    lines = await start_reading(json_lines(services.storage, found, wanted, format, encode))
    return StreamingResponse(lines, media_type="application/jsonl", headers=headers)


@router.get("/{job_id}/rewards")
async def rewards(job_id: str, project_id: ProjectId, session: Snapshot) -> dict[str, Any]:
    """The newest version of the rewards."""
    job = await lifecycle.get(session, project_id, job_id)
    version = await reward_versions.newest(session, job.id)
    if version is None:
        raise NotFound(
            f"The job {job_id!r} has no graders. Only jobs with the method 'reinforcement' have graders.",
            code="job_without_rewards",
        )
    return rewards_object(version)


@router.patch("/{job_id}/rewards")
async def edit_rewards(
    job_id: str, body: RewardsEdit, project_id: ProjectId, session: Transaction, services: Services
) -> dict[str, Any]:
    """Create a new version, which applies from the next step. Every rollout shows the version that scored it."""
    judges = await grading.saved_in_judges(services, project_id, body.judges())
    graders = await isolation.graders(services.pool, project_id, judges)
    version = await reward_versions.edit(
        session, project_id, job_id, judges, graders=graders, models=services.models, aliases=services.aliases
    )
    return rewards_object(version)
