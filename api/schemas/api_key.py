import time
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from api.schemas.job import whole
from fettle.errors import InvalidRequest
from fettle.methods.common import ITEMS_AT_MOST
from fettle.schemas.strict import Strict
from fettle.tenancy import api_keys
from models import ApiKey

Moment = Annotated[float, Field(gt=0, lt=2**53)]  # seconds since 1970
Seconds = Annotated[int, Field(gt=0, lt=2**40)]
MONTH = 30 * 24 * 3600


class Lifetime(Strict):
    expires_at: Moment | None = None
    expires_in: Seconds | None = None

    def end(self) -> float | None:
        """When the key expires, in seconds since 1970; None: it was not said. Raises InvalidRequest."""
        if self.expires_at is not None and self.expires_in is not None:
            raise InvalidRequest("Send either 'expires_at' or 'expires_in', not both.", param="expires_in")
        return self.expires_at if self.expires_in is None else time.time() + self.expires_in


Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,256}$")]


class KeyCreate(Lifetime):
    """`project`: a name or an id, for admins; without it the caller's own. `owner`: whose key it is, in words."""

    name: Line
    owner: Line | None = None
    scopes: Annotated[list[str], Field(max_length=ITEMS_AT_MOST)] | None = None
    project: str | None = None


class KeyRotate(Lifetime):
    """`grace_seconds`: how long the old key stays live."""

    grace_seconds: Annotated[int, Field(ge=0, le=MONTH)] = api_keys.GRACE


def key_object(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "object": "api_key",
        "name": key.name,
        "owner": key.owner,
        "project_id": key.project_id,
        "redacted_value": f"{key.hint}…",
        "scopes": key.scopes,
        "status": api_keys.state(key),
        "created_at": int(key.created_at),
        "expires_at": whole(key.expires_at),
        "revoked_at": whole(key.revoked_at),
    }


def key_with_secret(key: ApiKey, secret: str) -> dict[str, Any]:
    return {**key_object(key), "value": secret}
