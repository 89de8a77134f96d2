"""Where a job's metrics are reported to, beside our own events: OpenAI's `wandb`, and `tensorboard` and `mlflow`.

Honoured or refused at create, never ignored.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from fettle.errors import InvalidRequest, from_schema
from fettle.schemas.strict import Strict
from fettle.settings import INTEGRATIONS

MOST = 5  # OpenAI's limit

Name = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]*$")]
# W&B's rule
Slug = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^/\\#?%:\x00-\x1f\x7f]*$")]
Tags = Annotated[list[Annotated[Name, StringConstraints(max_length=64)]], Field(max_length=32)]


class WandbRun(Strict):
    project: Slug
    name: Name | None = None
    entity: Slug | None = None
    tags: Tags = Field(default_factory=list)


class MlflowRun(Strict):
    experiment: Name
    name: Name | None = None
    tags: Tags = Field(default_factory=list)


class Wandb(Strict):
    type: Literal["wandb"]
    wandb: WandbRun


class Tensorboard(Strict):
    type: Literal["tensorboard"]
    tensorboard: Annotated[Strict, Field(default_factory=Strict)]


class Mlflow(Strict):
    type: Literal["mlflow"]
    mlflow: MlflowRun


KINDS: dict[str, TypeAdapter[Any]] = {
    "wandb": TypeAdapter(Wandb),
    "tensorboard": TypeAdapter(Tensorboard),
    "mlflow": TypeAdapter(Mlflow),
}


def check(wanted: Sequence[dict[str, Any]], enabled: Sequence[str]) -> list[dict[str, Any]]:
    """The request's `integrations` as the job keeps them; `enabled` are the operator's. Raises InvalidRequest."""
    if len(wanted) > MOST:
        raise InvalidRequest(f"{len(wanted)} integrations were sent, {MOST} are allowed.", param="integrations")
    checked: list[dict[str, Any]] = []
    for index, integration in enumerate(wanted):
        param = f"integrations[{index}]"
        kind = integration.get("type")
        if kind not in KINDS:
            raise InvalidRequest(
                f"The integration {kind!r} is not supported. Choose one of: {', '.join(INTEGRATIONS)}.",
                code="integration_not_supported",
                param=f"{param}.type",
            )
        if kind not in enabled:
            offered = f"this server offers: {', '.join(enabled)}" if enabled else "this server offers none"
            raise InvalidRequest(
                f"The integration {kind!r} is not enabled here; {offered}. The operator sets FETTLE_INTEGRATIONS.",
                code="integration_not_enabled",
                param=f"{param}.type",
            )
        if any(other["type"] == kind for other in checked):
            raise InvalidRequest(f"The integration {kind!r} is there twice: keep one.", param=param)
        try:
            checked.append(KINDS[kind].validate_python(integration).model_dump(mode="json", exclude_none=True))
        except ValidationError as error:
            raise from_schema(error.errors(), within=("integrations", index)) from error
    return checked
