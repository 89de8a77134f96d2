import asyncio
from collections.abc import Awaitable, Callable

import structlog
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy import text

from api.deps import Held, Services

router = APIRouter(tags=["health"])
log = structlog.get_logger()

PATIENCE = 3  # seconds for each part


@router.get("/healthz")
async def alive() -> dict[str, str]:
    """This process answers."""
    return {"status": "ok"}


async def database(held: Services) -> None:
    async with held.db.snapshot() as session:
        await session.execute(text("SELECT 1"))


async def storage(held: Services) -> None:
    await held.storage.list("readiness")


async def queue(held: Services) -> None:
    await held.doorbell.ping()


async def engine(held: Services) -> None:
    if not await held.engine.healthy():
        raise ConnectionError("no answer from the engine")


CHECKS: dict[str, Callable[[Services], Awaitable[None]]] = {
    "database": database,
    "storage": storage,
    "queue": queue,
    "engine": engine,
}
NEEDED = {"database", "storage"}  # without the queue jobs start later, without the engine only chat is away


async def state_of(name: str, held: Services) -> str:
    try:
        await asyncio.wait_for(CHECKS[name](held), PATIENCE)
    except Exception as error:
        log.warning("not_ready", part=name, error=repr(error))
        return "away"
    return "ok"


@router.get("/readyz")
async def ready(held: Held) -> JSONResponse:
    """503 when jobs could not be accepted; names what is away."""
    states = await asyncio.gather(*(state_of(name, held) for name in CHECKS))
    parts = dict(zip(CHECKS, states, strict=True))
    ready = all(parts[name] == "ok" for name in NEEDED)
    return JSONResponse({"status": "ok" if ready else "unavailable", **parts}, 200 if ready else 503)
