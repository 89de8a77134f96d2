import time
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse

from api.deps import Caller, Snapshot
from fettle.tenancy import key_usage, permissions

router = APIRouter(prefix="/v1/usage", tags=["usage"])

MONTH = 30 * 24 * 3600  # seconds


@router.get("", response_model=None)
async def by_key(
    caller: Caller,
    session: Snapshot,
    since: Annotated[int | None, Query(ge=0)] = None,
    until: Annotated[int | None, Query(ge=0)] = None,
    format: Literal["json", "csv"] = "json",
) -> dict[str, Any] | PlainTextResponse:
    """GPU seconds, trained tokens and stored bytes by project and API key: of all for an admin, or of the own project.

    `since` and `until` are seconds since 1970; left out, the last 30 days.
    """
    end = time.time() if until is None else until
    start = end - MONTH if since is None else since
    rows = await key_usage.by_key(session, permissions.confined_to(caller), start, end)
    if format == "csv":
        return PlainTextResponse(key_usage.to_csv(rows), media_type="text/csv")
    return {"object": "list", "data": [{"object": "usage", **asdict(row)} for row in rows]}
