import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncSession

from api import audit, isolation, objects
from api.deps import Caller, ProjectId, Services, Snapshot
from api.routes.models import model_object
from api.schemas.adapter import AdapterCreate, adapter_object
from api.streams import adapters
from fettle import ids
from fettle.datasets import files
from fettle.errors import InvalidRequest
from fettle.registry import adapter_upload, catalog, tuned_models
from fettle.storage import artifacts
from fettle.tenancy import quotas
from models import File, Project

router = APIRouter(prefix="/v1/fine_tuning/adapters", tags=["models"])

SECONDS, SECONDS_PER_BYTE = 30, 2e-8  # that a check may take
MEMORY = 1 << 30  # bytes, beside the file itself, which is mapped


@router.post("")
async def create(body: AdapterCreate, project_id: ProjectId, caller: Caller, services: Services) -> dict[str, Any]:
    """Serve a LoRA adapter that was trained elsewhere. `files`: its zip or its two files, with the purpose user_data.

    It is checked against the base model: configuration, layers, shapes and numbers. It then is a tuned model like any
    other, and you can delete the uploaded files.
    """
    base_model = services.aliases.get(body.base_model, body.base_model)
    base = base_of(services, base_model)
    async with services.db.snapshot() as session:
        project = await session.get_one(Project, project_id)
        sources = [await source(session, project_id, file_id) for file_id in body.files]
        size = sum(each.bytes for each in sources)
        await quotas.foresee_file(session, project_id, size, quotas.defaults(services.settings))
    if size > adapter_upload.BYTES_AT_MOST:
        raise InvalidRequest(
            f"The files have {size:,} bytes, but the limit of an adapter is {adapter_upload.BYTES_AT_MOST:,}.",
            param="files",
        )
    async with services.checks.whole.of(project_id), scratch(services.uploads) as folder:
        argument = {"sources": await fetch(services, sources, folder), "folder": str(folder / "adapter"), "base": base}
        seconds, memory = SECONDS + size * SECONDS_PER_BYTE, MEMORY + adapter_upload.BYTES_AT_MOST
        checked = await isolation.run(
            services.pool, "take_adapter", project_id, "files", argument, seconds=seconds, memory=memory
        )
        found = orjson.loads(checked)
        model = tuned_models.uploaded(project, ids.new("adapter_"), base_model, body.suffix, found)
        model.created_by = caller.id

        async def put() -> None:
            await artifacts.upload(services.storage, folder / "adapter", model.prefix, only=artifacts.ADAPTER_FILES)

        async def keep(session: AsyncSession) -> None:
            await quotas.admit_file(session, project_id, model.bytes, quotas.defaults(services.settings))
            session.add(model)
            audit.made(model.name)

        await objects.store(services, model, put, keep)
    known = model_object(model.name, model.created_at, project_id, model.kind, model.created_by)
    return {**known, "adapter": adapter_object(found, base_model)}


def base_of(services: Services, name: str) -> dict[str, Any]:
    """As the check wants it. Raises NotFound, and InvalidRequest where its files are not on this server."""
    entry = catalog.find(services.models, name, "base_model")
    others = {other: each.hub for other, each in services.models.items() if other != name}
    return {"name": name, "folder": str(catalog.on_disk(name, entry)), "hub": entry.hub, "others": others}


async def source(session: Snapshot, project_id: str, file_id: str) -> File:
    """Raises NotFound, and InvalidRequest for a file that was sent for something else."""
    file = await files.get(session, project_id, file_id)
    if file.purpose != files.USER_DATA:
        raise InvalidRequest(
            f"The file {file_id!r} has the purpose {file.purpose!r}. Upload an adapter with the purpose "
            f"{files.USER_DATA!r}.",
            param="files",
        )
    return file


async def fetch(services: Services, sources: Sequence[File], folder: Path) -> dict[str, str]:
    """Where each of them lies now, by its name. Raises InvalidRequest for two of one name."""
    found: dict[str, str] = {}
    for number, each in enumerate(sources):
        if each.filename in found:
            raise InvalidRequest(f"Two of the files are called {each.filename!r}. Send one of them.", param="files")
        found[each.filename] = str(folder / str(number))
        await services.storage.get_file(each.storage_key, folder / str(number))
    return found


@asynccontextmanager
async def scratch(within: Path) -> AsyncIterator[Path]:
    folder = within / secrets.token_hex(16)
    await asyncio.to_thread(folder.mkdir)
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


@router.get("/{model:path}", response_model=None)
async def download(
    model: str, project_id: ProjectId, services: Services, files: bool = False
) -> Response | dict[str, Any]:
    """The LoRA adapter of a tuned model or a checkpoint as a zip; with `files=true` its files, with their hashes."""
    async with services.db.snapshot() as session:
        found = await tuned_models.find(session, project_id, model)
    if files:
        return {"object": "fine_tuning.adapter", "model": model, "files": await adapters.listed(services, found.prefix)}
    return await adapters.zipped(services, found.prefix, model.replace(":", "-").replace("/", "-"))
