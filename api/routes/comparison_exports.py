import asyncio
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Request
from sqlalchemy.ext.asyncio import AsyncSession

from api import isolation, objects
from api.deps import AppState, Caller, Services
from api.schemas.comparison import ExportCreate, TrainCreate
from api.schemas.file import file_object
from api.schemas.job import job_object, method_of, said
from fettle.comparisons import export, store
from fettle.comparisons.export import Exported
from fettle.datasets.files import MIN_TRAINING_ROWS
from fettle.errors import InvalidRequest
from fettle.jobs import idempotency, integrations, lifecycle, planning
from fettle.tenancy import quotas, scopes
from models import ApiKey, Comparison, File, Job, Project

router = APIRouter(prefix="/v1/comparisons", tags=["comparisons"])


@router.post("/{comparison_id}/export")
async def create(comparison_id: str, body: ExportCreate, caller: Caller, services: Services) -> dict[str, Any]:
    """A dataset file made of the votes. Votes that are part of one can no longer change."""
    scopes.need(caller.scopes, "files.write")
    comparison, exported = await gathered(services, caller, comparison_id, body.rows, body.rule)
    export.check_any(exported)

    async def keep(session: AsyncSession, file: File) -> File:
        file.created_by = caller.id
        await export.keep(session, comparison, exported, file)
        return file

    file = await objects.write(services, caller.project_id, filename(comparison, exported), exported.jsonl, keep)
    return {"object": "comparison.export", "file": file_object(file), **exported.provenance()}


@router.post("/{comparison_id}/train")
async def train(
    comparison_id: str,
    body: TrainCreate,
    request: Request,
    caller: Caller,
    services: Services,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> dict[str, Any]:
    """Export the votes and create a job on the file, both or neither. The answer is the job."""
    for scope in ("files.write", "jobs.write"):
        scopes.need(caller.scopes, scope)
    method = method_of(body)
    if method.type not in export.BY_METHOD:
        raise InvalidRequest(
            f"The method {method.type!r} does not train on votes. Choose one of: {', '.join(export.BY_METHOD)}.",
            param="method.type",
        )
    comparison, exported = await gathered(services, caller, comparison_id, export.BY_METHOD[method.type], body.rule)
    export.check_enough(exported, MIN_TRAINING_ROWS)
    sent = orjson.loads(await request.body())
    graders = await isolation.graders_of(services.pool, caller.project_id, method)

    async def keep(session: AsyncSession, file: File) -> Job:
        file.created_by = caller.id
        wanted = planning.Request(
            model=services.aliases.get(body.model, body.model),
            training_file=file.id,
            validation_file=body.validation_file,
            method=method,
            seed=body.seed,
            suffix=body.suffix,
            metadata=body.metadata,
            integrations=integrations.check(body.integrations or [], services.settings.enabled_integrations),
            priority=body.priority or "normal",
            resources=said(body.resources),
            limits=said(body.limits),
            created_by=caller.id,
            body={**sent, "comparison": comparison.id},
            idempotency_key=idempotency_key,
            graders=graders,
        )
        if idempotency_key and (earlier := await idempotency.find(session, caller.project_id, wanted)):
            session.expunge(earlier)  # the transaction that now rolls back would take its values along
            raise Repeated(earlier)
        await export.keep(session, comparison, exported, file)
        project = await session.get_one(Project, caller.project_id)
        defaults = quotas.defaults(services.settings)
        job, _ = await lifecycle.create(session, project, wanted, services.models, defaults, aliases=services.aliases)
        return job

    try:
        job = await objects.write(services, caller.project_id, filename(comparison, exported), exported.jsonl, keep)
    except Repeated as repeated:
        return job_object(repeated.job)
    await services.doorbell.ring(job.id)
    return job_object(job)


class Repeated(Exception):
    """The request was answered before: no second file is written."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.id)
        self.job = job


async def gathered(
    services: AppState, caller: ApiKey, comparison_id: str, rows: str | None, rule: str
) -> tuple[Comparison, Exported]:
    async with services.db.snapshot() as session:
        comparison = await store.get(session, caller.project_id, comparison_id)
        items, votes = await export.gather(session, comparison)
    kind = rows or export.BY_MODE[comparison.mode]
    return comparison, await asyncio.to_thread(export.export, items, votes, kind, rule)


def filename(comparison: Comparison, exported: Exported) -> str:
    return f"{comparison.id}-{exported.kind}.jsonl"
