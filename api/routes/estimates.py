import asyncio
from typing import Any

from fastapi import APIRouter

from api import grading, isolation
from api.deps import ProjectId, Services
from api.schemas.estimate import estimate_object
from api.schemas.job import JobCreate, method_of
from fettle import methods
from fettle.datasets import files, previews
from fettle.errors import InvalidRequest
from fettle.estimates import estimate, measurements, memory
from fettle.estimates.amounts import Rows
from fettle.jobs import planning, waiting, workers
from fettle.jobs.planning import Plan
from fettle.methods.spec import COMPARISONS, nothing
from fettle.registry import catalog
from fettle.registry.catalog import BaseModelEntry

router = APIRouter(prefix="/v1/fine_tuning/estimate", tags=["fine-tuning"])


def use(kind: str) -> str:
    """What a method takes of a row."""
    spec = methods.METHODS[kind]
    return "prompts" if spec.graders is not nothing else "pairs" if spec.shapes <= COMPARISONS else "text"


@router.post("")
async def create(body: JobCreate, project_id: ProjectId, services: Services) -> dict[str, Any]:
    """What a job would take: tokens, steps, memory, time, cost and time in the queue. The body is the job's.

    Time comes from what earlier jobs took on these workers. Nothing is created.
    """
    method = await grading.saved_in_method(services, project_id, method_of(body))
    wanted = planning.Request(
        model=services.aliases.get(body.model, body.model),
        training_file=body.training_file,
        validation_file=body.validation_file,
        method=method,
        body={},
        graders=await isolation.graders_of(services.pool, project_id, method),
    )
    async with services.db.transaction() as session:  # planning locks the files
        plan = await planning.make(session, project_id, wanted, services.models, services.aliases)
        validation_rows = 0
        if body.validation_file is not None:
            validation = await files.get(session, project_id, body.validation_file)
            validation_rows = int((validation.report or {}).get("rows") or 0)
    entry = catalog.find(services.models, plan.base_model)
    rows, sample = await sampled(services, project_id, plan, entry)
    async with services.db.snapshot() as session:
        earlier = await measurements.earlier(session, plan.base_model)
        if not rows.counted:
            each = estimate.tokens_per_byte(earlier, plan.base_model)
            rows = Rows.of_size(rows.rows, plan.training.bytes, each)
        found = estimate.make(earlier, plan.base_model, plan.method, rows, services.models, validation_rows)
        start = (await waiting.queue(session, services.settings)).start_of_new_job()
        device = await workers.smallest_device(session, services.settings.heartbeat_seconds)
    base = await asyncio.to_thread(memory.base_of, catalog.folder_of(entry), entry.parameters)
    return estimate_object(body.model, plan, found, sample, start, device, base, services.settings)


async def sampled(
    services: Services, project_id: str, plan: Plan, entry: BaseModelEntry
) -> tuple[Rows, dict[str, Any] | None]:
    """Tokens counted in the file's first rows; from its size where the API has no tokenizer for the base model."""
    rows = int((plan.training.report or {})["rows"])
    try:
        base = catalog.on_disk(plan.base_model, entry)
    except InvalidRequest:
        return Rows.of_size(rows, plan.training.bytes), None
    asked = plan.method[plan.method["type"]]["hyperparameters"]
    found = await previews.examine(
        services.storage,
        plan.training,
        isolation.token_sample(services.pool, project_id, base),
        folder=services.uploads,
        use=use(plan.method["type"]),
        max_seq_length=asked["max_seq_length"],
    )
    return Rows.of_sample(rows, found), found
