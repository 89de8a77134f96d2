from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.deps import Snapshot
from api.pagination import listing
from fettle.tenancy import audit

router = APIRouter(prefix="/v1/audit_logs", tags=["audit logs"])


@router.get("")
async def newest(
    session: Snapshot,
    type: str | None = None,
    project_id: str | None = None,
    actor_id: str | None = None,
    resource_id: str | None = None,
    since: Annotated[int | None, Query(ge=0)] = None,
    until: Annotated[int | None, Query(ge=0)] = None,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
) -> dict[str, Any]:
    """Who changed what, newest first. `since` and `until` are seconds since 1970."""
    wanted = audit.Filter(type, project_id, actor_id, resource_id, since, until)
    rows, has_more = await audit.newest(session, wanted, after=after, limit=limit)
    return listing(rows, audit.to_json, has_more)
