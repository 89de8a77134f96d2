from typing import Any

from fastapi import APIRouter

from api import audit, comparison_design, comparison_prompts
from api.deps import Caller, Services
from api.schemas.comparison import JobComparison, Prompts, comparison_object
from fettle.comparisons import of_job, progress, store
from fettle.jobs import lifecycle
from fettle.tenancy import scopes

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["comparisons"])


@router.post("/{job_id}/comparison")
async def create(job_id: str, body: JobComparison, caller: Caller, services: Services) -> dict[str, Any]:
    """Compare the base model with the tuned model, or checkpoints with each other, on the validation prompts."""
    for scope in ("jobs.read", "chat"):
        scopes.need(caller.scopes, scope)
    async with services.db.snapshot() as snapshot:
        job = await lifecycle.get(snapshot, caller.project_id, job_id)
        models = await of_job.models(snapshot, job, body.compare)
    own = body.prompts is None
    wanted = Prompts(
        prompts=of_job.prompts_file(job) if body.prompts is None else body.prompts,
        limit=body.limit or (of_job.PROMPTS if own else None),
    )
    prompts = await comparison_prompts.read(services, caller, wanted)
    async with audit.transaction(services.db) as session:
        design = await comparison_design.wanted(
            session,
            services,
            caller,
            body,
            name=body.name or f"{job.suffix or job.id}: {body.compare.replace('_', ' ')}",
            models=models,
            prompts=prompts,
            job_id=job.id,
        )
        comparison = await store.create(session, caller.project_id, design)
        found = await progress.of(session, comparison, services.settings)
    await services.doorbell.ring(comparison.id)
    return comparison_object(comparison, found)
