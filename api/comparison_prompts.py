"""The prompts that a request for a comparison means: its own, or those of a file."""

import tempfile
from pathlib import Path

import orjson

from api import isolation
from api.deps import AppState
from api.schemas.comparison import Prompt, Prompts
from fettle.comparisons import prompts
from fettle.comparisons.prompts import Messages
from fettle.datasets import files, previews
from fettle.datasets.files import PURPOSE
from fettle.errors import InvalidRequest
from fettle.tenancy import scopes
from models import ApiKey, FileStatus


async def read(services: AppState, caller: ApiKey, body: Prompts) -> list[Messages]:
    """Raises InvalidRequest, NotFound."""
    if isinstance(body.prompts, str):
        return await of_file(services, caller, body.prompts, body.limit or prompts.AT_MOST)
    if body.limit is not None:
        raise InvalidRequest("'limit' is for the prompts of a file. Send fewer prompts instead.", param="limit")
    return prompts.check([messages(prompt) for prompt in body.prompts])


def messages(prompt: Prompt) -> Messages:
    """A text is a message of the user."""
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    return [message.model_dump() for message in prompt]


async def of_file(services: AppState, caller: ApiKey, file_id: str, limit: int) -> list[Messages]:
    """Of its beginning, as previews read it."""
    scopes.need(caller.scopes, "files.read")
    async with services.db.snapshot() as session:
        file = await files.get(session, caller.project_id, file_id)
    if file.purpose != PURPOSE:
        raise InvalidRequest(f"The file {file.id!r} is not a dataset. Choose one with prompts.", param="prompts")
    if file.status == FileStatus.ERROR:
        raise InvalidRequest(f"{file.filename}: {(file.report or {})['summary']}", code="invalid_file", param="prompts")
    with tempfile.NamedTemporaryFile(dir=services.uploads, prefix="prompts-") as aside:
        await previews.fetch(services.storage, file, Path(aside.name))
        argument = {"path": aside.name, "limit": min(limit, prompts.AT_MOST)}
        found = await isolation.run(
            services.pool, "comparison_prompts", caller.project_id, "prompts", argument, seconds=30, memory=1 << 30
        )
    read: list[Messages] = orjson.loads(found)
    return read
