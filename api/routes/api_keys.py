from typing import Annotated, Any

from fastapi import APIRouter, Query

from api import audit
from api.deps import Caller, Services, Snapshot, Transaction
from api.pagination import listing
from api.schemas.api_key import KeyCreate, KeyRotate, key_object, key_with_secret
from fettle.tenancy import api_keys, permissions

router = APIRouter(prefix="/v1/api_keys", tags=["api keys"])


@router.post("")
async def create(body: KeyCreate, caller: Caller, session: Transaction, services: Services) -> dict[str, Any]:
    """Create a key, which is shown only in this response, as `value`.

    The key cannot do more, or live longer, than the key that creates it.
    """
    key, secret = await api_keys.create(
        session,
        await permissions.project_for(session, caller, body.project),
        body.name,
        services.pepper,
        key_scopes=permissions.scopes_for(caller, body.scopes),
        expires_at=permissions.end_for(caller, body.end()),
        owner=body.owner,
    )
    audit.made(key.id)
    return key_with_secret(key, secret)


@router.get("")
async def newest(
    caller: Caller,
    session: Snapshot,
    project: str | None = None,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> dict[str, Any]:
    """Newest first, for the key's own project. An admin key may name another project."""
    project_id = await permissions.project_for(session, caller, project)
    rows, has_more = await api_keys.newest(session, project_id, after=after, limit=limit)
    return listing(rows, key_object, has_more)


@router.get("/{key_id}")
async def retrieve(key_id: str, caller: Caller, session: Snapshot) -> dict[str, Any]:
    return key_object(await api_keys.get(session, key_id, permissions.confined_to(caller)))


@router.delete("/{key_id}")
async def revoke(key_id: str, caller: Caller, session: Transaction) -> dict[str, Any]:
    """Revoke a key immediately. It stays in the list."""
    key = await api_keys.get(session, key_id, permissions.confined_to(caller))
    permissions.need_all(caller, key.scopes)
    await api_keys.revoke(session, key.id)
    return {"id": key.id, "object": "api_key", "deleted": True}


@router.post("/{key_id}/rotate")
async def rotate(
    key_id: str, caller: Caller, session: Transaction, services: Services, body: KeyRotate | None = None
) -> dict[str, Any]:
    """A new key with the same name and scopes. The old one stays live for the grace period."""
    body = body or KeyRotate()
    key = await api_keys.get(session, key_id, permissions.confined_to(caller))
    permissions.need_all(caller, key.scopes)
    end = permissions.end_of_successor(caller, key, body.end())
    successor, secret = await api_keys.rotate(session, key, services.pepper, grace=body.grace_seconds, expires_at=end)
    return key_with_secret(successor, secret)
