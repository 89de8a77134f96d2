"""Base models that an operator adds and removes while Fettle runs: entries of the catalog file."""

import fcntl
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.errors import Conflict, InvalidRequest, NotFound
from fettle.registry import catalog, model_files
from fettle.registry.catalog import BUILT_IN, BaseModelEntry
from fettle.registry.model_files import Facts
from fettle.settings import Settings
from models import Job, JobStatus, TunedModel

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")
UNFINISHED = [status for status in JobStatus if not status.is_terminal]


def describe(entry: BaseModelEntry) -> tuple[BaseModelEntry, Facts]:
    """An entry from what the files of a model tell; `parameters` and `length` are of no account.

    Blocking. Raises InvalidRequest for a model that is not on this machine or is never loaded.
    """
    folder = catalog.folder_of(entry)
    if flaw := catalog.flaw_of(folder):
        raise InvalidRequest(flaw, code="base_model_unavailable", param="path")
    try:
        facts = model_files.read(folder)
    except model_files.Unreadable as error:
        raise InvalidRequest(f"{error}.", code="base_model_unavailable", param="path") from error
    licence = entry.license if entry.license != "unknown" else facts.license
    numbers = {"parameters": facts.parameters, "length": facts.length, "license": licence}
    return entry.model_copy(update=numbers), facts


def add(settings: Settings, name: str, entry: BaseModelEntry) -> None:
    """Blocking. Raises InvalidRequest for a bad name, Conflict for one that is taken."""
    if not NAME.fullmatch(name) or name.startswith("ft:"):
        raise InvalidRequest(
            f"The name {name!r} is not valid. Use 1 to 100 letters, digits, '.', '_', '-' or '/', such as qwen3-0.6b.",
            param="name",
        )
    file = settings.catalog or settings.own_catalog
    with alone(file):
        known = catalog.load(file if file.is_file() else None)
        if name in known or name in settings.model_aliases:
            raise Conflict(f"The name {name!r} is taken. Choose another one, or remove that model first.", param="name")
        catalog.add(file, name, entry)


def remove(settings: Settings, name: str) -> None:
    """Of the catalog; the model's files stay. Blocking. Raises InvalidRequest for one that stays, NotFound."""
    if name in BUILT_IN:
        raise InvalidRequest(f"{name!r} is built in and cannot be removed.", param="model")
    if alias := next((alias for alias, target in settings.model_aliases.items() if target == name), None):
        raise InvalidRequest(
            f"FETTLE_MODEL_ALIASES has {alias!r} for {name!r}. Change the setting, then remove the model.",
            param="model",
        )
    file = settings.catalog or settings.own_catalog
    with alone(file):
        entries = json.loads(file.read_text("utf-8")) if file.is_file() else {}
        if name not in entries:
            raise NotFound(f"The base model {name!r} does not exist on this server.", code="model_not_found")
        del entries[name]
        catalog.write(file, entries)


async def refuse_in_use(session: AsyncSession, name: str) -> None:
    """Raises Conflict while jobs run on the base model, or tuned models need it."""
    job = await session.scalar(select(Job.id).where(Job.base_model == name, Job.status.in_(UNFINISHED)).limit(1))
    if job is not None:
        raise Conflict(f"The job {job!r} trains {name!r}. Cancel it, or wait for its end.", code="model_in_use")
    tuned = await session.scalar(select(TunedModel.name).where(TunedModel.base_model == name).limit(1))
    if tuned is not None:
        raise Conflict(f"The tuned model {tuned!r} needs {name!r}. Delete it first.", code="model_in_use")


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """One process changes the catalog at a time."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with file.with_suffix(".lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
