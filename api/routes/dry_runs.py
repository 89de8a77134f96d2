from typing import Any

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession

from api import grading, isolation
from api.deps import Caller, Services
from api.grading import wait_for_answer
from api.schemas.dry_run import DryRunCreate, dry_run_object
from api.schemas.job import method_of
from fettle.inference import client
from fettle.jobs import dry_runs, planning
from fettle.tenancy import scopes
from models import Grading

router = APIRouter(prefix="/v1/fine_tuning/dry_runs", tags=["fine-tuning"])


@router.post("")
async def create(body: DryRunCreate, caller: Caller, services: Services) -> dict[str, Any]:
    """Try a job's rewards before you create it. The body is the job's, with optional `prompts` and `samples`."""
    scopes.need(caller.scopes, "chat")  # it shows what the model says
    method = await grading.saved_in_method(services, caller.project_id, method_of(body))
    wanted = planning.Request(
        model=services.aliases.get(body.model, body.model),
        training_file=body.training_file,
        validation_file=body.validation_file,
        method=method,
        body={},
        graders=await isolation.graders_of(services.pool, caller.project_id, method),
    )

    async def ask(session: AsyncSession) -> Grading:
        plan = await planning.make(session, caller.project_id, wanted, services.models, services.aliases)
        model = await client.find(session, caller.project_id, wanted.model, services.models)
        return await dry_runs.create(
            session,
            caller.project_id,
            plan,
            model,
            prompts=body.prompts,
            samples=body.samples,
            seed=body.seed or 0,
        )

    return dry_run_object(body.model, dry_runs.outcome(await wait_for_answer(services, ask)))
