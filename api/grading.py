"""Waiting for what a worker answers to a request to grade, and the saved reward functions that requests name."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from api.deps import Services
from fettle import methods, rewards
from fettle.errors import InvalidRequest, Unavailable
from fettle.inference import judge_models
from fettle.jobs import grading_requests
from fettle.registry import saved_rewards
from fettle.tenancy import scopes
from models import ApiKey, Grading

LOOK_SECONDS = 0.05


async def wait_for_answer(services: Services, create: Callable[[AsyncSession], Awaitable[Grading]]) -> dict[str, Any]:
    """What a worker says to what `create` asks. Raises Unavailable when none says anything in time."""
    async with services.db.transaction() as session:
        grading = await create(session)
    await services.doorbell.ring(grading.id)
    deadline = time.monotonic() + services.settings.grading_seconds + 1
    while time.monotonic() < deadline:
        async with services.db.snapshot() as session:
            row = await session.get(Grading, grading.id)
        if row is not None and row.result is not None:
            return row.result
        await asyncio.sleep(LOOK_SECONDS)
    raise Unavailable(
        f"No worker graded this within {services.settings.grading_seconds:g} seconds. "
        "Check that `fettle worker` is running."
    )


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


async def saved_in_judges(services: Services, project_id: str, judges: dict[str, Any]) -> dict[str, Any]:
    """The judges of a request with the source of saved reward functions that it names. Raises InvalidRequest.

    judges: as `rewards.grader_fields.check` takes them.
    """
    entries = judges.get("reward_functions")
    if not isinstance(entries, list) or not saved_rewards.names_of(entries):
        return judges
    async with services.db.snapshot() as session:
        return judges | {"reward_functions": await saved_rewards.pinned(session, project_id, entries)}


async def saved_in_method(services: Services, project_id: str, method: methods.Method) -> methods.Method:
    """As `saved_in_judges`, for a method. Raises InvalidRequest."""
    judges = methods.spec_of(method).graders(method) or {}
    found = await saved_in_judges(services, project_id, judges)
    if found is judges:
        return method
    settings = getattr(method, method.type)
    return method.model_copy(update={method.type: settings.model_copy(update=found)})
