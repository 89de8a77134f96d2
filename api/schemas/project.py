from typing import Annotated, Any, Literal

from pydantic import PlainValidator

from fettle.schemas.strict import Strict
from fettle.tenancy import quotas
from models import Project


def limit(value: Any) -> Any:
    if value is None or value == "default" or (type(value) is int and 0 <= value < 2**53):
        return value
    raise ValueError("use a whole number, null for no limit, or 'default'")


Limit = Annotated[int | Literal["default"] | None, PlainValidator(limit)]


class Quotas(Strict):
    """null: no limit; "default": what the settings say."""

    files: Limit = None
    bytes: Limit = None
    queued_jobs: Limit = None
    running_jobs: Limit = None
    high_priority_jobs: Limit = None
    job_hours: Limit = None
    gpu_hours: Limit = None
    tokens: Limit = None

    def apply(self, project: Project) -> None:
        changes = {name: getattr(self, name) for name in self.model_fields_set}
        back = [name for name, limit in changes.items() if limit == "default"]
        quotas.change(project, {name: limit for name, limit in changes.items() if limit != "default"}, back)


class ProjectCreate(Strict):
    name: str
    quotas: Quotas | None = None


class ProjectChange(Strict):
    name: str | None = None
    quotas: Quotas | None = None
    stores_completions: bool | None = None


def project_object(project: Project, defaults: quotas.Limits) -> dict[str, Any]:
    return {
        "id": project.id,
        "object": "project",
        "name": project.name,
        "created_at": int(project.created_at),
        "quotas": quotas.limits(project, defaults),
        "stores_completions": project.stores_completions,
    }
