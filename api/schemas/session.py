from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import StringConstraints, model_validator

from api.schemas.api_key import key_object
from fettle.schemas.strict import Strict
from models import ApiKey, Project

Secret = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class SignIn(Strict):
    """The body of POST /session: an API key, the token of a sign-in link, or a project of the proxy's person."""

    api_key: Secret | None = None
    link_token: Secret | None = None
    project_id: Secret | None = None

    @model_validator(mode="after")
    def exactly_one(self) -> Self:
        if [self.api_key, self.link_token, self.project_id].count(None) != 2:
            raise ValueError("send one of 'api_key', 'link_token' and 'project_id'")
        return self


def nobody_object(person: str | None, projects: Sequence[Project]) -> dict[str, Any]:
    """No session. person: whom a trusted proxy names. projects: those in which that person owns a key."""
    found = [{"id": project.id, "name": project.name} for project in projects]
    return {"session": None, **({"person": person, "projects": found} if person else {})}


def session_object(key: ApiKey, project: Project, csrf_token: str, version: str, person: str | None) -> dict[str, Any]:
    return {
        "object": "session",
        "csrf_token": csrf_token,
        "person": person,
        "key": key_object(key),
        "project": {"id": project.id, "name": project.name},
        "version": version,
    }
