from typing import Annotated, Any, Self

from pydantic import StringConstraints, model_validator

from api.schemas.api_key import key_object
from fettle.schemas.strict import Strict
from models import ApiKey, Project

Secret = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class SignIn(Strict):
    """The body of POST /session: an API key, or the token of a sign-in link."""

    api_key: Secret | None = None
    link_token: Secret | None = None

    @model_validator(mode="after")
    def exactly_one(self) -> Self:
        if (self.api_key is None) == (self.link_token is None):
            raise ValueError("send either 'api_key' or 'link_token'")
        return self


def session_object(key: ApiKey, project: Project, csrf_token: str, version: str) -> dict[str, Any]:
    return {
        "object": "session",
        "csrf_token": csrf_token,
        "key": key_object(key),
        "project": {"id": project.id, "name": project.name},
        "version": version,
    }
