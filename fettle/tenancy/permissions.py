"""What one key may do about others: it grants nothing that it does not have, and reaches no other project's keys."""

import time
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from fettle.errors import Forbidden, InvalidRequest
from fettle.tenancy import api_keys, projects, scopes
from models import ApiKey

DAY = 24 * 3600


def confined_to(caller: ApiKey) -> str | None:
    """The id of the only project that it may see; None for an operator's key."""
    return None if scopes.ADMIN in caller.scopes else caller.project_id


def need_all(caller: ApiKey, wanted: Sequence[str]) -> None:
    """Raises Forbidden: making, rotating and revoking a key takes every scope that this key has."""
    if lacking := scopes.missing(caller.scopes, wanted):
        raise Forbidden(
            f"This API key lacks the scope {lacking[0]!r} (it has: {', '.join(caller.scopes)}), so it cannot create, "
            "rotate or revoke a key with that scope. Request fewer scopes, or use a key with more."
        )


def scopes_for(caller: ApiKey, wanted: Sequence[str] | None) -> list[str]:
    """What a new key gets: unless said otherwise all that its maker has, but not to be an operator.

    Raises InvalidRequest, and Forbidden for what the caller lacks.
    """
    key_scopes = [scope for scope in caller.scopes if scope != scopes.ADMIN] if wanted is None else wanted
    key_scopes = scopes.checked(key_scopes)
    need_all(caller, key_scopes)
    return key_scopes


def end_for(caller: ApiKey, wanted: float | None) -> float | None:
    """When a new key expires: its maker's end, unless an earlier one is wanted. Raises InvalidRequest for a later."""
    if wanted is None:
        return caller.expires_at
    if caller.expires_at is not None and wanted > caller.expires_at:
        left = (caller.expires_at - time.time()) / DAY
        raise InvalidRequest(
            f"The new key would outlive the key that creates it, which expires in {left:.1f} days. Choose an "
            "earlier expiry.",
            param="expires_at",
        )
    return wanted


def end_of_successor(caller: ApiKey, key: ApiKey, wanted: float | None) -> float | None:
    """A successor lasts as long as its predecessor was meant to, unless said otherwise or its maker ends before."""
    if wanted is None and (lifetime := api_keys.lifetime(key)) is not None:
        return api_keys.earliest(time.time() + lifetime, caller.expires_at)
    return end_for(caller, wanted)


async def project_for(session: AsyncSession, caller: ApiKey, wanted: str | None) -> str:
    """The id of the project whose keys are meant. Raises Forbidden; another's project is not told from none."""
    if wanted is None or wanted == caller.project_id:
        return caller.project_id
    if confined_to(caller) is not None:
        own = await projects.get(session, caller.project_id)
        if wanted == own.name:
            return own.id
        scopes.need(caller.scopes, scopes.ADMIN)
    return (await projects.find(session, wanted)).id
