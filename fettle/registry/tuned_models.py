"""Tuned models: published adapters, and the checkpoints on the way to them."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy import delete as remove
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.errors import Conflict, InvalidRequest, NotFound
from fettle.methods import METHODS
from fettle.methods.spec import CHAT as CHAT
from fettle.methods.spec import REWARD_MODEL as REWARD_MODEL
from fettle.pagination import page
from fettle.registry import catalog
from fettle.rewards import models_of
from models import ENDED, Checkpoint, CheckpointPermission, Job, Project, RewardVersion, TunedModel


def kind_of(job: Job) -> str:
    """What the models of a job are for."""
    return METHODS[job.method["type"]].kind


def storage_key(project_id: str, adapter_id: str) -> str:
    """Of an uploaded one."""
    return f"adapters/{project_id}/{adapter_id}"


def uploaded(
    project: Project, adapter_id: str, base_model: str, suffix: str | None, found: Mapping[str, Any]
) -> TunedModel:
    """The row of an adapter that was made elsewhere. found: what its check says."""
    return TunedModel(
        name=f"ft:{base_model}:{project.name}:{suffix or ''}:{adapter_id.removeprefix('adapter_')[:10]}",
        project_id=project.id,
        job_id=None,
        base_model=base_model,
        kind=found["kind"],
        prefix=storage_key(project.id, adapter_id),
        lora=found["lora"],
        bytes=found["bytes"],
        created_at=time.time(),
    )


async def stored_at(session: AsyncSession, prefix: str) -> bool:
    """Whether a model has its adapter there."""
    return await session.scalar(select(TunedModel.name).where(TunedModel.prefix == prefix)) is not None


async def newest(session: AsyncSession, project_id: str) -> Sequence[TunedModel]:
    statement = select(TunedModel).where(TunedModel.project_id == project_id)
    return (await session.scalars(statement.order_by(TunedModel.created_at.desc(), TunedModel.name))).all()


async def get(session: AsyncSession, project_id: str, name: str) -> TunedModel:
    model = await session.get(TunedModel, name)
    if model is None or model.project_id != project_id:
        raise unknown(name)
    return model


async def find(session: AsyncSession, project_id: str, name: str) -> TunedModel | Checkpoint:
    """What a tuned model's or a checkpoint's name means; both can be served. Raises NotFound."""
    tuned = await session.scalar(select(TunedModel).where(TunedModel.name == name, TunedModel.project_id == project_id))
    checkpoint = await session.scalar(
        select(Checkpoint).where(Checkpoint.name == name, Checkpoint.project_id == project_id)
    )
    if (found := tuned or checkpoint) is None:
        raise unknown(name)
    return found


async def usable(session: AsyncSession, project_id: str, name: str) -> TunedModel | Checkpoint:
    """One that the project may ask: its own, or another's with its owner's permission. Raises NotFound."""
    permission = select(CheckpointPermission.owner_id).where(
        CheckpointPermission.model == name, CheckpointPermission.project_id == project_id
    )
    owner_id = await session.scalar(permission)
    return await find(session, owner_id or project_id, name)


async def chats(session: AsyncSession, model: TunedModel | Checkpoint) -> bool:
    """Whether it answers; a reward model only scores."""
    return await kind(session, model) == CHAT


async def kind(session: AsyncSession, model: TunedModel | Checkpoint) -> str:
    if isinstance(model, TunedModel):
        return model.kind
    if model.metrics.get("phase") == REWARD_MODEL:  # of a job that trains a policy after it
        return REWARD_MODEL
    job = await session.get(Job, model.job_id)
    return kind_of(job) if job else CHAT


async def scorer(session: AsyncSession, project_id: str, name: str, base_model: str) -> None:
    """Refuses what cannot judge a policy on this base: NotFound for no model, InvalidRequest for another kind."""
    param = "method.rlhf.reward_model"
    try:
        model = await find(session, project_id, name)
    except NotFound as error:
        raise NotFound(error.message, code=error.code, param=param) from error
    if await kind(session, model) != REWARD_MODEL:
        raise InvalidRequest(
            f"{name!r} is not a reward model. Use a model trained with the method 'reward_model', or "
            "remove 'reward_model' so that the job trains one from its comparisons.",
            code="model_not_supported",
            param=param,
        )
    if (base := catalog.base_of(name)) != base_model:
        raise InvalidRequest(
            f"The reward model {name!r} was trained on {base!r}, but the job's base is {base_model!r} and reads other "
            "tokens. Use one that was trained on that base.",
            code="model_not_supported",
            param=param,
        )


async def delete(session: AsyncSession, project_id: str, name: str) -> TunedModel | Checkpoint:
    """Deletes the row of a tuned model or a checkpoint; the caller deletes the objects after the commit.

    Raises Conflict while a job that continues from it, learns from it or has it as a judge has not ended, also one of a
    project that has the permission to ask it.
    """
    model = await find(session, project_id, name)
    active = (Job.status.not_in(ENDED), Job.project_id == project_id)
    scored_by = [
        Job.method[kind][spec.reward_model].as_string() == name for kind, spec in METHODS.items() if spec.reward_model
    ]
    learns = or_(Job.started_from == name, *scored_by)
    job_id = await session.scalar(select(Job.id).where(*active, learns).limit(1))
    if job_id is None:
        job_id = await judged_by(session, name, active)
    if job_id is None:
        await refuse_asked_elsewhere(session, name)
    if job_id is not None:
        raise Conflict(
            f"The model {name!r} is in use by the job {job_id!r}. Cancel that job first.", code="model_in_use"
        )
    await session.execute(remove(CheckpointPermission).where(CheckpointPermission.model == name))
    await session.delete(model)
    return model


async def refuse_asked_elsewhere(session: AsyncSession, name: str) -> None:
    """Raises Conflict while a project with a permission runs a job whose graders ask the model."""
    permitted = select(CheckpointPermission.project_id).where(CheckpointPermission.model == name)
    for project_id in await session.scalars(permitted):
        jobs = (Job.status.not_in(ENDED), Job.project_id == project_id)
        if await judged_by(session, name, jobs) is not None:
            raise Conflict(
                f"The model {name!r} is in use by a job of the project {project_id!r}, which has your permission. Wait "
                "until that job ends, or delete the permission first.",
                code="model_in_use",
            )


async def judged_by(session: AsyncSession, name: str, jobs: tuple[ColumnElement[bool], ...]) -> str | None:
    """A job, of these, whose graders ask the model."""
    versions = select(RewardVersion).join(Job, Job.id == RewardVersion.job_id).where(*jobs)
    for version in await session.scalars(versions):
        if name in {asked for asked, _ in models_of(version.graders)}:
            return version.job_id
    return None


async def checkpoints(
    session: AsyncSession, job_id: str, *, after: str | None, limit: int
) -> tuple[list[Checkpoint], bool]:
    """A page of a job's checkpoints, newest first."""
    statement = select(Checkpoint).where(Checkpoint.job_id == job_id)
    return await page(session, statement, (Checkpoint.step,), Checkpoint.id, after=after, limit=limit)


def unknown(name: str) -> NotFound:
    return NotFound(
        f"The model {name!r} does not exist or you do not have access to it. GET /v1/models lists your models.",
        code="model_not_found",
        param="model",
    )
