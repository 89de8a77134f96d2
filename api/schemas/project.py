from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fettle import quotas
from models import Project

Limit = Annotated[int, Field(ge=0, lt=2**53)] | Literal["default"] | None


class Quotas(BaseModel):
    """null: no limit; "default": what the settings say."""

    model_config = ConfigDict(extra="forbid")

    files: Limit = None
    bytes: Limit = None
    queued_jobs: Limit = None
    running_jobs: Limit = None
    tokens: Limit = None

    def apply(self, project: Project) -> None:
        given = {name: getattr(self, name) for name in self.model_fields_set}
        back = [name for name, limit in given.items() if limit == "default"]
        quotas.change(project, {name: limit for name, limit in given.items() if limit != "default"}, back)


class ProjectCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    quotas: Quotas | None = None


class ProjectChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str | None = None
    quotas: Quotas | None = None


def project_object(project: Project, defaults: quotas.Limits) -> dict[str, Any]:
    return {
        "id": project.id,
        "object": "project",
        "name": project.name,
        "created_at": int(project.created_at),
        "quotas": quotas.limits(project, defaults),
    }
