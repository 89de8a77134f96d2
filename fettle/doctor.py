"""`fettle doctor`: looks at every part and says what to do."""

import asyncio
import importlib.util
import shutil
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from fettle import artifacts, catalog, devices, migrate
from fettle.db import Database
from fettle.queue import Doorbell
from fettle.serving import Engine
from fettle.settings import Settings
from fettle.storage import open_storage
from fettle.up import beside

LOW_DISK = 5 * 2**30
TRAINING_PACKAGES = ("torch", "transformers", "trl", "peft")


@dataclass(frozen=True)
class Finding:
    part: str
    ok: bool
    says: str
    needed: bool = True


async def examine(settings: Settings) -> list[Finding]:
    """One finding a part; nothing raises."""
    structlog.configure(processors=[drop])  # findings say it better than log lines
    settings = beside(settings)
    return [await look(part, check, settings) for part, check in CHECKS.items()]


def drop(logger: object, name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    raise structlog.DropEvent


async def look(part: str, check: Callable[[Settings], Awaitable[Finding]], settings: Settings) -> Finding:
    try:
        return await asyncio.wait_for(check(settings), 15)
    except Exception as error:
        return Finding(part, False, f"{type(error).__name__}: {error} → {HELP[part]}", needed=part not in OPTIONAL)


async def python(settings: Settings) -> Finding:
    missing = [name for name in TRAINING_PACKAGES if importlib.util.find_spec(name) is None]
    version = sys.version.split()[0]
    if missing:
        return Finding("python", False, f"{version}; {', '.join(missing)} missing → {HELP['python']}", needed=False)
    return Finding("python", True, f"{version}; training packages present")


async def slots(settings: Settings) -> Finding:
    found = devices.visible()
    places = devices.slots(settings, found)
    says = ", ".join(f"slot {number}: {place}" for number, place in enumerate(places))
    if unused := devices.idle(places, found):
        says += f"; idle: GPU {', '.join(unused)} → FETTLE_SLOTS and FETTLE_GPUS_PER_JOB leave them out"
    return Finding("slots", not unused, says, needed=False)


async def disk(settings: Settings) -> Finding:
    settings.data.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.data).free
    says = f"{free / 2**30:.0f} GiB free under {settings.data.absolute()}"
    return Finding("disk", free > LOW_DISK, says if free > LOW_DISK else f"{says} → {HELP['disk']}")


async def database(settings: Settings) -> Finding:
    db = Database(settings.database)
    try:
        current, newest = await migrate.revisions(db)
    finally:
        await db.close()
    where = db.engine.url.render_as_string(hide_password=True)
    if current != newest:
        return Finding("database", False, f"{where}: schema {current or 'empty'}, needs {newest} → `fettle migrate`")
    return Finding("database", True, f"{where}: schema {current}")


async def storage(settings: Settings) -> Finding:
    store = open_storage(settings)
    await artifacts.put_bytes(store, "doctor/probe", b"fettle")
    back = await store.read("doctor/probe")
    await store.delete("doctor/probe")
    return Finding("storage", back == b"fettle", f"{settings.storage}: writes, reads and deletes")


async def queue(settings: Settings) -> Finding:
    doorbell = Doorbell(settings)
    try:
        await doorbell.ping()
    finally:
        await doorbell.close()
    return Finding("queue", True, "Redis answers")


async def engine(settings: Settings) -> Finding:
    client = Engine(settings)
    try:
        healthy = await client.healthy()
    finally:
        await client.close()
    says = f"{settings.engine_url} answers" if healthy else f"{settings.engine_url} does not answer → {HELP['engine']}"
    return Finding("engine", healthy, says, needed=False)


async def base_models(settings: Settings) -> Finding:
    entries = catalog.load(settings.catalog)
    gone = [name for name, entry in entries.items() if entry.path and not (entry.path / "config.json").is_file()]
    if gone:
        return Finding("base models", False, f"no config.json in the folder of: {', '.join(gone)}")
    return Finding("base models", True, ", ".join(entries))


CHECKS: dict[str, Callable[[Settings], Awaitable[Finding]]] = {
    "python": python,
    "slots": slots,
    "disk": disk,
    "database": database,
    "storage": storage,
    "queue": queue,
    "engine": engine,
    "base models": base_models,
}
HELP = {
    "python": "pip install 'fettle[train]' where jobs are trained or models served",
    "slots": "docs/gpus.md says how slots map to GPUs",
    "disk": "checkpoints and adapters need room: free some, or set FETTLE_DATA",
    "database": "check FETTLE_DATABASE_URL, then `fettle migrate`",
    "storage": "check FETTLE_STORAGE_URL, FETTLE_S3_ENDPOINT and the credentials",
    "queue": "check FETTLE_REDIS_URL; without it jobs start a little later",
    "engine": "start `fettle engine`, or check FETTLE_ENGINE_URL; chat needs it, training does not",
    "base models": "check FETTLE_CATALOG",
}
OPTIONAL = {"python", "slots", "queue", "engine"}
