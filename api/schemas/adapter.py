from typing import Annotated, Any

from pydantic import Field, StringConstraints

from api.schemas.job import Suffix
from fettle.schemas.strict import Strict

FileId = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class AdapterCreate(Strict):
    """The body of POST /v1/fine_tuning/adapters: one zip, or the two files of an adapter."""

    files: Annotated[list[FileId], Field(min_length=1, max_length=8)]
    base_model: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    suffix: Suffix | None = None


def adapter_object(found: dict[str, Any], base_model: str) -> dict[str, Any]:
    """What its check found. can_continue: whether a job can go on from it."""
    shown = ("rank", "alpha", "layers", "parameters", "bytes", "trained_on", "left_out", "notes")
    known = {name: found[name] for name in shown}
    return {"base_model": base_model, "can_continue": found["lora"] is not None, **known}
