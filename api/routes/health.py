import asyncio

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.deps import Services
from api.readiness import CHECKS, NEEDED

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def alive() -> dict[str, str]:
    """Whether this process responds."""
    return {"status": "ok"}


@router.get("/readyz")
async def ready(services: Services) -> JSONResponse:
    """Returns 503 when the server cannot accept jobs, with the state of each part."""
    states = await asyncio.gather(*(services.readiness.state_of(name, services) for name in CHECKS))
    parts = dict(zip(CHECKS, states, strict=True))
    ready = all(parts[name] == "ok" for name in NEEDED)
    return JSONResponse({"status": "ok" if ready else "unavailable", **parts}, 200 if ready else 503)
