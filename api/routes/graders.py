from typing import Any

from fastapi import APIRouter

from api import isolation
from api.deps import Caller, Services
from api.grading import grade, prompt_of
from api.schemas.grader import GraderRun, GraderValidate, load_failure, run_object
from fettle import rewards
from fettle.errors import InvalidRequest, Unavailable

router = APIRouter(prefix="/v1/fine_tuning/alpha/graders", tags=["graders"])


@router.post("/validate")
async def validate(body: GraderValidate, caller: Caller, services: Services) -> dict[str, Any]:
    """Check a grader and fill in its defaults. User code is loaded in a sandbox, but not called."""
    graders = await isolation.graders(services.pool, caller.project_id, {"grader": body.grader}, sources=False)
    if rewards.has_user_code(graders):
        error = (await grade(services, caller, graders, [])).get("error")
        if error is not None and error["kind"] == "load":
            raise InvalidRequest(error["message"], code="invalid_grader", param="grader")
        if error is not None:
            raise Unavailable(error["message"])
    return {"grader": graders[0]["grader"]}


@router.post("/run")
async def run(body: GraderRun, caller: Caller, services: Services) -> dict[str, Any]:
    """Grade one sample. If the grader fails, the reward is null and `metadata.errors` says why."""
    graders = await isolation.graders(services.pool, caller.project_id, {"grader": body.grader}, sources=False)
    sample = {"prompt": prompt_of(body.item or {}), "completion": body.model_sample, "item": body.item or {}}
    result = await grade(services, caller, graders, [sample])
    grader = graders[0]["grader"]
    return load_failure(grader, result["error"]) if "error" in result else run_object(grader, result)
