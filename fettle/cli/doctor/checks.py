"""`fettle doctor`: checks every part and says what to do."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy import select

from fettle import __version__, migrate
from fettle.cli.doctor import host
from fettle.cli.doctor.result import CheckResult, warn
from fettle.cli.up import with_local_services
from fettle.db import Database, database_now
from fettle.inference import engines
from fettle.inference.client import Engine
from fettle.jobs import workers as jobs_workers
from fettle.observability.causes import in_words
from fettle.queue import Doorbell
from fettle.registry import catalog
from fettle.settings import Settings
from fettle.storage import artifacts, open_storage

SKEW_SECONDS = 5  # leases go by the database's clock; what clients see of time goes by ours


async def examine(settings: Settings) -> list[CheckResult]:
    """One result a part; nothing raises."""
    structlog.configure(processors=[drop])  # results say it better than log lines
    settings = with_local_services(settings)
    return [await look(part, check, settings) for part, check in CHECKS.items()]


def drop(logger: object, name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    raise structlog.DropEvent


async def look(part: str, check: Callable[[Settings], Awaitable[CheckResult]], settings: Settings) -> CheckResult:
    try:
        return await asyncio.wait_for(check(settings), 15)
    except Exception as error:  # whatever it is, that is what the doctor found
        return CheckResult(part, False, f"{in_words(error)} → {HELP[part]}", needed=part not in OPTIONAL)


async def database(settings: Settings) -> CheckResult:
    db = Database(settings.database)
    try:
        current, newest = await migrate.revisions(db)
        async with db.snapshot() as session:
            skew = time.time() - (await session.scalar(select(database_now())) or 0)
    finally:
        await db.close()
    where = db.engine.url.render_as_string(hide_password=True)
    if current != newest:
        return CheckResult(
            "database", False, f"{where}: schema {current or 'empty'}, needs {newest} → `fettle migrate`"
        )
    if abs(skew) > SKEW_SECONDS:
        return warn("database", f"{where}: its clock differs from this host's by {skew:+.0f} s → run NTP on both")
    return CheckResult("database", True, f"{where}: schema {current}")


async def storage(settings: Settings) -> CheckResult:
    store = open_storage(settings)
    await artifacts.put_bytes(store, "doctor/probe", b"fettle")
    back = await store.read("doctor/probe")
    await store.delete("doctor/probe")
    return CheckResult("storage", back == b"fettle", f"{settings.storage}: writes, reads and deletes")


async def queue(settings: Settings) -> CheckResult:
    doorbell = Doorbell(settings)
    try:
        server, problem = await doorbell.examine()
    finally:
        await doorbell.close()
    return warn("queue", f"{server} → {problem}") if problem else CheckResult("queue", True, f"{server} answers")


async def workers(settings: Settings) -> CheckResult:
    db = Database(settings.database)
    try:
        async with db.snapshot() as session:
            seen = await jobs_workers.seen(session, settings.heartbeat_seconds)
    finally:
        await db.close()
    alive = [each for each in seen if each.alive]
    if not alive:
        return warn("workers", f"no worker is running, so jobs wait → {HELP['workers']}")
    running = [
        f"{each.worker.host} {each.worker.version} "
        f"({', '.join(each.worker.slots) or 'no slots'}; {len(each.busy)} busy)"
        for each in alive
    ]
    if other := sorted({each.worker.version for each in alive} - {__version__}):
        return warn(
            "workers",
            f"{', '.join(running)}: version {', '.join(other)} differs from {__version__} → update them",
        )
    return CheckResult("workers", True, ", ".join(running))


async def engine(settings: Settings) -> CheckResult:
    """Those that announced themselves; where none has, the one at FETTLE_ENGINE_URL."""
    db = Database(settings.database)
    client = Engine(settings)
    try:
        routes = await engines.Directory(db, settings.heartbeat_seconds).routes()
        urls = [route.url for route in routes] or [settings.engine_url]
        healthy = dict(zip(urls, await asyncio.gather(*map(client.healthy_at, urls)), strict=True))
    finally:
        await client.close()
        await db.close()
    bases = {route.url: f" with {', '.join(route.base_models)}" for route in routes}
    said = [
        f"{url} answers{bases.get(url, '')}" if well else f"{url} is not responding → {HELP['engine']}"
        for url, well in healthy.items()
    ]
    return CheckResult("engine", all(healthy.values()), "; ".join(said), needed=False)


async def base_models(settings: Settings) -> CheckResult:
    entries = catalog.load(settings.catalog_file)
    flaws = [
        f"{name}: {flaw}" for name, entry in entries.items() if entry.path and (flaw := catalog.flaw_of(entry.path))
    ]
    if flaws:
        return CheckResult("base models", False, " ".join(flaws))
    aliases = catalog.check_aliases(settings.model_aliases, entries)
    return CheckResult(
        "base models", True, ", ".join([*entries, *(f"{new} = {name}" for new, name in aliases.items())])
    )


CHECKS: dict[str, Callable[[Settings], Awaitable[CheckResult]]] = {
    "versions": host.versions,
    "disk": host.disk,
    "slots": host.slots,
    "cores": host.cores,
    "devices": host.gpus,
    "secrets": host.secrets,
    "sandbox": host.sandbox,
    "database": database,
    "storage": storage,
    "queue": queue,
    "workers": workers,
    "engine": engine,
    "base models": base_models,
    "integrations": host.integrations,
}
HELP = {
    "versions": "install Fettle again",
    "disk": "set FETTLE_DATA to a folder that this user can write",
    "slots": "docs/gpus.md explains how slots map to GPUs",
    "cores": "set FETTLE_THREADS",
    "devices": "check the driver with nvidia-smi",
    "secrets": "let this user read the data folder",
    "sandbox": "docs/rewards.md explains what user code needs",
    "integrations": "pip install 'fettle[integrations]'",
    "database": "check FETTLE_DATABASE_URL, then `fettle migrate`",
    "storage": "check FETTLE_STORAGE_URL, FETTLE_S3_ENDPOINT and the credentials",
    "queue": "check FETTLE_REDIS_URL; without Redis jobs start a little later",
    "workers": "start `fettle worker`, or `fettle up`, which includes one",
    "engine": "start `fettle engine`, or check FETTLE_ENGINE_URL; chat needs it, training does not",
    "base models": "check FETTLE_CATALOG and FETTLE_MODEL_ALIASES",
}
OPTIONAL = {"versions", "slots", "cores", "devices", "secrets", "sandbox", "queue", "workers", "engine", "integrations"}
