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
    """Workers that are running or ran within a day, with their slots. Jobs of other projects are not shown."""
    confined = permissions.confined_to(caller)
    found = await workers.seen(session, services.settings.heartbeat_seconds, confined)
    return listing(found, worker_object, False)
