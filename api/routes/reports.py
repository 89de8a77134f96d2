import asyncio
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncSession

from api import isolation
from api.deps import ProjectId, Services
from api.schemas.file import file_object
from api.schemas.job import job_object, proof_object
from fettle.errors import Conflict, NotFound
from fettle.jobs import events, lifecycle, proofs, states
from fettle.reports import html
from fettle.storage import Away, Missing, Refused, artifacts
from models import File, Job, TunedModel

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["fine-tuning"])

STORAGE_SECONDS = 10  # for the hashes; a report without them is better than none
SECONDS = 60.0  # for writing it
TYPES = {"html": "text/html; charset=utf-8", "markdown": "text/markdown; charset=utf-8"}


@router.get("/{job_id}/report")
async def report(
    job_id: str, project_id: ProjectId, services: Services, format: Literal["html", "markdown"] = "html"
) -> Response:
    """A report of an ended job in one file without links: data, settings, curves, evaluation, cost and proof."""
    async with services.db.snapshot() as session:
        job = await lifecycle.get(session, project_id, job_id)
        if not job.status.is_terminal:
            raise Conflict(f"{states.sentence(job)}. A job has a report when it has ended.", code="job_not_ended")
        facts = {
            "job": job_object(job),
            "files": await files_of(session, job),
            "events": await events.messages(session, job.id),
            "evaluation": job.evaluation,
            "proof": await proof_of(session, job),
        }
        prefix = await prefix_of(session, job)
        lines = await events.metric_lines(session, job.id)
    argument = {"facts": facts | {"hashes": await hashes(services, prefix)}, "format": format}
    content = await isolation.run(services.pool, "report", project_id, "report", argument, lines, seconds=SECONDS)
    name = f"{job.id}.{'html' if format == 'html' else 'md'}"
    headers = {
        "content-disposition": f'inline; filename="{name}"',
        "content-security-policy": f"{html.POLICY}; sandbox",
    }
    return Response(content, media_type=TYPES[format], headers=headers)


async def files_of(session: AsyncSession, job: Job) -> dict[str, dict[str, Any] | None]:
    """Null for one that was deleted."""
    found: dict[str, dict[str, Any] | None] = {}
    for name in ("training_file", "validation_file"):
        if (file_id := getattr(job, name)) is not None:
            file = await session.get(File, file_id)
            found[name] = file_object(file) if file is not None and file.project_id == job.project_id else None
    return found


async def proof_of(session: AsyncSession, job: Job) -> dict[str, Any] | None:
    """None for a job without one."""
    try:
        return proof_object(job, await proofs.of_job(session, job))
    except NotFound:
        return None


async def prefix_of(session: AsyncSession, job: Job) -> str | None:
    """Of the job's adapter in storage; None where it has none, or no longer."""
    model = await session.get(TunedModel, job.fine_tuned_model) if job.fine_tuned_model else None
    return model.prefix if model is not None and model.project_id == job.project_id else None


async def hashes(services: Services, prefix: str | None) -> dict[str, dict[str, Any]]:
    """Of the adapter's files; none where storage does not give them now."""
    if prefix is None:
        return {}
    try:
        async with asyncio.timeout(STORAGE_SECONDS):
            manifest = await artifacts.manifest(services.storage, prefix)
    except (Away, Missing, Refused, artifacts.Corrupt, TimeoutError):
        return {}
    return {name: entry.model_dump() for name, entry in manifest.files.items()}
