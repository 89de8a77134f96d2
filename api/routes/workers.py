from typing import Any

from fastapi import APIRouter

from api.deps import Caller, Services, Snapshot
from api.pagination import listing
from api.schemas.worker import worker_object
from fettle.jobs import workers
from fettle.tenancy import permissions

router = APIRouter(prefix="/v1/workers", tags=["workers"])


@router.get("")
async def every(caller: Caller, session: Snapshot, services: Services) -> dict[str, Any]:
    """Workers that run, or ran within a day, and what their slots do. Other tenants' jobs are not named."""
    confined = permissions.confined_to(caller)
    found = await workers.seen(session, services.settings.heartbeat_seconds, confined)
    return listing(found, worker_object, False)
