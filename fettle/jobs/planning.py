"""What a request for a job comes to before there is one: every `auto` resolved, every file and model looked at."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import methods
from fettle.datasets import files
from fettle.errors import InvalidRequest
from fettle.inference import judge_models
from fettle.inference.client import Servable
from fettle.jobs import capabilities, chat_templates, placement
from fettle.registry import catalog, tuned_models
from fettle.registry.catalog import Catalog
from fettle.rewards import grader_fields, tools
from models import File, Job, TunedModel

NO_ALIASES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Request:
    """What a client asks for; `body` is the request as it came, for telling retries apart.

    graders: the method's, where they were checked already; None: planning checks them.
    """

    model: str
    training_file: str
    method: methods.Method
    body: dict[str, Any]
    validation_file: str | None = None
    seed: int | None = None
    suffix: str | None = None
    metadata: dict[str, str] | None = None
    integrations: list[dict[str, Any]] | None = None
    idempotency_key: str | None = None
    retry: bool = False  # the SDK says that it has sent this before
    graders: list[dict[str, Any]] | None = None
    priority: placement.Priority = "normal"
    resources: dict[str, Any] | None = None
    limits: dict[str, Any] | None = None
    created_by: str | None = None  # the API key

    @property
    def digest(self) -> str:
        return hashlib.sha256(orjson.dumps(self.body, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True)
class Plan:
    """What a request comes to: every `auto` resolved, every file looked at, every model found.

    graders: None where nothing is rewarded. judges: the models that they ask, by the names that they have for them.
    """

    base_model: str
    started_from: str | None
    training: File
    method: dict[str, Any]
    graders: list[dict[str, Any]] | None
    judges: dict[str, Servable]


async def make(
    session: AsyncSession,
    project_id: str,
    request: Request,
    models: Catalog,
    aliases: Mapping[str, str] = NO_ALIASES,
) -> Plan:
    """Raises InvalidRequest and NotFound for what cannot be trained."""
    start = await starting_point(session, project_id, request) if request.model.startswith("ft:") else None
    base_model = start.base_model if start else request.model
    base = catalog.find(models, base_model)
    await capabilities.check(base_model, base)
    await asyncio.to_thread(capabilities.check_score_head, base_model, base, request.method)
    spec = methods.spec_of(request.method)
    if (reward_model := methods.requested_reward_model(request.method)) is not None:
        await tuned_models.scorer(session, project_id, reward_model, base_model)
    shapes, hint = methods.shapes(request.method), spec.hint
    training = await files.for_training(
        session, project_id, request.training_file, "training_file", files.MIN_TRAINING_ROWS, shapes, hint
    )
    callable_tools = spec.tools(request.method) is not None
    if callable_tools:
        await asyncio.to_thread(chat_templates.check_tools, base_model, base)
        chat_templates.refuse_own_tools(training, "training_file")
    await asyncio.to_thread(chat_templates.check, base_model, base, training, "training_file")
    if request.validation_file is not None:
        validation = await files.for_training(
            session, project_id, request.validation_file, "validation_file", 1, shapes, hint
        )
        await asyncio.to_thread(chat_templates.check, base_model, base, validation, "validation_file")
        if callable_tools:
            chat_templates.refuse_own_tools(validation, "validation_file")
    given = methods.Given(
        rows=(training.report or {})["rows"],
        base_parameters=base.parameters,
        base_length=base.length,
        file_bytes=training.bytes,
        validates=request.validation_file is not None,
        layers=lambda: catalog.linear_layers(base),
        lora=start.lora if start else None,
    )
    method = methods.resolve(request.method, given) | {"resolved_from": methods.resolved_from(request.method, given)}
    capabilities.check_quantization(base_model, base, method)
    graders = request.graders or graders_of(request.method)
    asked = await judge_models.find(session, project_id, graders or [], models, aliases, param="method.reinforcement")
    return Plan(base_model, request.model if start else None, training, method, graders, asked)


@dataclass(frozen=True)
class Start:
    """The adapter that a job goes on from."""

    base_model: str
    lora: dict[str, Any]


async def starting_point(session: AsyncSession, project_id: str, request: Request) -> Start:
    """Raises NotFound for another tenant's model as for none, InvalidRequest for one that the method cannot take."""
    model = await tuned_models.find(session, project_id, request.model)
    kind = await tuned_models.kind(session, model)
    if kind not in methods.spec_of(request.method).starts_from:
        raise InvalidRequest(
            f"{request.model!r} is a reward model, which scores responses and writes none: only the method "
            f"'reward_model' goes on from it, not {request.method.type!r}.",
            code="model_not_supported",
            param="model",
        )
    if model.job_id is None:
        return Start(model.base_model, methods.EARLIER_LORA | uploaded_lora(model))
    maker = await session.get_one(Job, model.job_id)
    asked = maker.method[maker.method["type"]]
    hyperparameters = asked[methods.METHODS[maker.method["type"]].publishes[kind]]
    return Start(maker.base_model, methods.EARLIER_LORA | hyperparameters["lora"])


def uploaded_lora(model: TunedModel) -> dict[str, Any]:
    """Raises InvalidRequest for one that leaves out layers which a job would adapt."""
    if model.lora is None:
        raise InvalidRequest(
            f"{model.name!r} adapts some of the base model's layers of a name and leaves out others, so no job can "
            "continue from it. It can be served and evaluated. Start from the base model instead.",
            code="model_not_supported",
            param="model",
        )
    return model.lora


def graders_of(method: methods.Method) -> list[dict[str, Any]] | None:
    """What judges the completions, for a method that learns from rewards. Its tools are checked as well. Raises
    InvalidRequest."""
    spec, within = methods.spec_of(method), ("method", method.type)
    asked = spec.graders(method)
    tools.check(spec.tools(method) or [], within)
    return None if asked is None else grader_fields.check(asked, within)
