from typing import Any

from fastapi import APIRouter

from api.deps import Caller, Services, Snapshot
from api.pagination import listing
from api.schemas.engine import engine_object
from fettle.inference import engines
from fettle.tenancy import permissions

router = APIRouter(prefix="/v1/engines", tags=["engines"])


@router.get("")
async def every(caller: Caller, session: Snapshot, services: Services) -> dict[str, Any]:
    """Inference engines that are running or ran within a day: what they serve, and how busy they are. `url` is null for
    keys of one project."""
    everything = permissions.confined_to(caller) is None
    found = await engines.seen(session, services.settings.heartbeat_seconds)
    return listing(found, lambda each: engine_object(*each, with_url=everything), False)
