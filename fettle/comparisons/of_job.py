"""Which models and prompts a comparison of a job's models has."""

from typing import Literal

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.comparisons.prompts import RESPONSES_AT_MOST
from fettle.errors import Conflict, InvalidRequest
from fettle.registry import tuned_models
from models import Checkpoint, Job

Compare = Literal["base_and_tuned", "checkpoints"]

PROMPTS = 50  # of a validation file, unless the request says otherwise


async def models(session: AsyncSession, job: Job, compare: Compare) -> list[str]:
    """Names. Raises InvalidRequest for a job whose models do not write, and Conflict before they are there."""
    if tuned_models.kind_of(job) != tuned_models.CHAT:
        raise InvalidRequest(
            f"The job {job.id!r} trains a reward model, which scores responses but does not write them. Compare the "
            "models of a job with another method.",
            code="model_not_supported",
        )
    if compare == "checkpoints":
        return await checkpoints(session, job)
    if job.fine_tuned_model is None:
        raise Conflict(
            f"The job {job.id!r} has no tuned model (its status is {job.status}). Compare when it has succeeded, or "
            "send 'compare': 'checkpoints'.",
            code="no_tuned_model",
        )
    return [job.base_model, job.fine_tuned_model]


async def checkpoints(session: AsyncSession, job: Job) -> list[str]:
    """The newest, oldest first. Raises Conflict."""
    rows = await session.scalars(select(Checkpoint).where(Checkpoint.job_id == job.id).order_by(Checkpoint.step.desc()))
    names = [row.name for row in rows if await tuned_models.chats(session, row)][:RESPONSES_AT_MOST]
    if len(names) < 2:
        have = "1 checkpoint" if names else "no checkpoints"
        raise Conflict(
            f"The job {job.id!r} has {have}. Comparing checkpoints needs at least 2.", code="too_few_checkpoints"
        )
    return names[::-1]


def prompts_file(job: Job) -> str:
    """Raises InvalidRequest."""
    if job.validation_file is None:
        raise InvalidRequest(
            f"The job {job.id!r} has no validation file. Send 'prompts': a file id or a list.", param="prompts"
        )
    return job.validation_file
