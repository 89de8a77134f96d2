"""Waiting for what a worker answers to a request to grade."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from api.deps import Services
from fettle import rewards
from fettle.errors import InvalidRequest, Unavailable
from fettle.inference import judge_models
from fettle.jobs import grading_requests
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
