from typing import Any

from fastapi import APIRouter

from api import isolation
from api.deps import Caller, ProjectId, Services, Snapshot, Transaction
from api.grading import grade, prompt_of
from api.schemas.reward_function import (
    FunctionCreate,
    Trial,
    functions_list,
    source_object,
    trial_object,
    version_object,
)
from fettle.errors import InvalidRequest, Unavailable
from fettle.registry import reward_sources

router = APIRouter(prefix="/v1/reward_functions", tags=["graders"])


@router.get("")
async def every(project_id: ProjectId, session: Snapshot) -> dict[str, Any]:
    """The project's own reward functions, each at its newest version, and the built-in ones.

    Built-in functions have `parameters` (as JSON schema) and `examples`, the project's own an `id` and a `version`.
    """
    return functions_list(await reward_sources.newest(session, project_id))


@router.post("")
async def save(body: FunctionCreate, project_id: ProjectId, services: Services, session: Transaction) -> dict[str, Any]:
    """Save a reward function under a name. A name that exists gets a new version, unless its source is the same."""
    asked = {"reward_functions": [{"name": body.name, "source": body.source}]}
    await isolation.graders(services.pool, project_id, asked)
    return source_object(await reward_sources.save(session, project_id, body.name, body.source))


@router.post("/try")
async def try_on(body: Trial, caller: Caller, services: Services) -> dict[str, Any]:
    """Score samples with a function that need not be saved. It runs in the sandbox, as in a job."""
    asked = {"reward_functions": [{"name": "reward", "source": body.source}]}
    graders = await isolation.graders(services.pool, caller.project_id, asked)
    samples = [
        {"prompt": prompt_of(each.item), "completion": each.completion, "item": each.item} for each in body.samples
    ]
    result = await grade(services, caller, graders, samples)
    error = result.get("error")
    if error is not None and error["kind"] == "load":
        raise InvalidRequest(error["message"], code="invalid_grader", param="source")
    if error is not None:
        raise Unavailable(error["message"])
    return trial_object(result)


@router.get("/{function_id}")
async def show(function_id: str, project_id: ProjectId, session: Snapshot) -> dict[str, Any]:
    """One version of the project's own function, with its source."""
    return source_object(await reward_sources.get(session, project_id, function_id))


@router.get("/{function_id}/versions")
async def versions(function_id: str, project_id: ProjectId, session: Snapshot) -> dict[str, Any]:
    """All versions of the function that are kept, the newest first."""
    row = await reward_sources.get(session, project_id, function_id)
    data = [version_object(each) for each in await reward_sources.versions(session, project_id, row.name)]
    return {"object": "list", "data": data, "has_more": False}


@router.delete("/{function_id}")
async def delete(function_id: str, project_id: ProjectId, session: Transaction) -> dict[str, Any]:
    """Delete the function with all its versions. Jobs keep the source that they were created with."""
    await reward_sources.remove(session, await reward_sources.get(session, project_id, function_id))
    return {"id": function_id, "object": "reward_function", "deleted": True}
