from dataclasses import asdict
from typing import Any

import orjson
from fastapi import APIRouter

from api import isolation
from api.deps import Caller, Services
from api.grading import wait_for_answer
from api.schemas.grader import GraderRun, GraderValidate, load_failure, run_object
from fettle import rewards
from fettle.errors import InvalidRequest, Unavailable
from fettle.inference import judge_models
from fettle.jobs import grading_requests
from fettle.tenancy import scopes
from models import ApiKey

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


def prompt_of(item: dict[str, Any]) -> Any:
    """For `reward(prompt, completion, example)`: the row's own prompt, where it has one."""
    messages = item.get("messages")
    if isinstance(messages, list) and all(isinstance(message, dict) for message in messages):
        return messages
    return str(item.get("prompt", ""))


async def grade(
    services: Services, caller: ApiKey, graders: list[dict[str, Any]], samples: list[dict[str, Any]]
) -> dict[str, Any]:
    """What a worker says to this. Raises Unavailable when none says anything in time."""
    request = {"graders": graders, "samples": samples, "models": await models_for(services, caller, graders)}
    try:
        orjson.dumps(request)
    except orjson.JSONEncodeError as error:
        raise InvalidRequest(f"'item' cannot be written as JSON: {error}.", param="item") from error
    return await wait_for_answer(services, lambda session: grading_requests.create(session, caller.project_id, request))


async def models_for(services: Services, caller: ApiKey, graders: list[dict[str, Any]]) -> dict[str, Any]:
    """The models that the graders ask, as the engine knows them. Raises NotFound, and Forbidden to who may not chat."""
    if rewards.models_of(graders):
        scopes.need(caller.scopes, "chat")
    async with services.db.snapshot() as session:
        found = await judge_models.find(session, caller.project_id, graders, services.models, services.aliases)
    return {name: asdict(servable) for name, servable in found.items()}
