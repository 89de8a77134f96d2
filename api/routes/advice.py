import asyncio
from dataclasses import asdict, replace
from typing import Any

from fastapi import APIRouter
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from api import grading, isolation
from api.deps import ProjectId, Services
from api.grading import wait_for_answer
from api.schemas.advice import AdviseCreate, Counts
from fettle import methods
from fettle.advice import measuring, ranking
from fettle.advice.measuring import Variant
from fettle.advice.situation import Goal, Situation
from fettle.datasets import files, previews
from fettle.errors import InvalidRequest, Unavailable, from_schema
from fettle.inference import client
from fettle.jobs import dry_runs, planning
from fettle.methods.spec import TEXTS
from fettle.rewards import diagnostics
from models import Grading

router = APIRouter(prefix="/v1/fine_tuning/advise", tags=["fine-tuning"])

UNFIT = {"invalid_training_file", "invalid_n_examples"}  # why a file cannot be measured on; the advice stands without


@router.post("")
async def advise(body: AdviseCreate, project_id: ProjectId, services: Services) -> dict[str, Any]:
    """Which method to begin with, why, and what to collect for another one.

    With `base`, `file` and a reward, the base model is measured first, with and without an instruction to reason. That
    takes seconds to minutes, and the answer waits for it at most as long as a request to run a grader.
    """
    situation = await situation_of(body, project_id, services)
    measured, why_not = None, missing_for_measuring(body)
    if why_not is None:
        try:
            measured, situation = await measure(body, project_id, services, situation)
        except InvalidRequest as error:
            if error.code not in UNFIT:
                raise
            why_not = error.message
        except Unavailable as error:
            why_not = error.message
    return {
        "object": "fine_tuning.advice",
        "situation": asdict(situation),
        **ranking.to_json(situation),
        "measured": measured,
        "not_measured": why_not,
    }


def missing_for_measuring(body: AdviseCreate) -> str | None:
    given = {"file": body.file, "base": body.base, "reward_functions": body.rewards}
    missing = [repr(name) for name, value in given.items() if not value]
    return f"The base model was not measured. To measure it, send also {' and '.join(missing)}." if missing else None


async def situation_of(body: AdviseCreate, project_id: str, services: Services) -> Situation:
    """Raises InvalidRequest for neither a file nor counts, and NotFound for another tenant's file."""
    if (body.file is None) == (body.counts is None):
        raise InvalidRequest("Send either 'file' or 'counts'.", param="file")
    counts = body.counts
    if body.file is not None:
        counts = await counted(body.file, project_id, services)
    assert counts is not None  # noqa: S101 — one of the two was given
    comparisons = counts.pairs or counts.rankings
    inferred: Goal = "preference" if comparisons and not counts.labels else "reasoning" if counts.reasoned else "task"
    return Situation(
        goal=body.goal or inferred,
        verifiable=bool(body.rewards) if body.verifiable is None else body.verifiable,
        accurate=body.accurate,
        **counts.model_dump(),
    )


async def counted(file_id: str, project_id: str, services: Services) -> Counts:
    """How many rows a file has of each kind."""
    async with services.db.snapshot() as session:
        file = await files.get(session, project_id, file_id)
    found = await previews.examine(
        services.storage, file, isolation.facts(services.pool, project_id), folder=services.uploads
    )
    report = file.report or {}
    rows, shape = int(report.get("rows") or 0), str(report.get("shape"))
    if shape == "preference":
        return Counts(prompts=rows, pairs=rows)
    if shape == "ranking":
        return Counts(prompts=rows, rankings=rows)
    if shape in TEXTS:
        return Counts(prompts=rows, labels=rows, reasoned=round(rows * found["reasoned"] / max(1, found["rows"])))
    return Counts(prompts=rows)


async def measure(
    body: AdviseCreate, project_id: str, services: Services, situation: Situation
) -> tuple[dict[str, Any], Situation]:
    """The figures, and the situation with them. Raises InvalidRequest, NotFound, Unavailable."""
    assert body.file is not None and body.base is not None  # noqa: S101 — or it would not be measured
    tokens = {} if body.max_completion_tokens is None else {"max_completion_tokens": body.max_completion_tokens}
    judges = await grading.saved_in_judges(services, project_id, body.rewards)
    rewards = {**judges, "hyperparameters": tokens}
    try:
        method = methods.ReinforcementMethod.model_validate({"type": "reinforcement", "reinforcement": rewards})
    except ValidationError as error:
        raise from_schema(error.errors()) from error
    graders = await isolation.graders(services.pool, project_id, judges)
    wanted = planning.Request(
        model=services.aliases.get(body.base, body.base),
        training_file=body.file,
        method=method,
        body={},
        graders=graders,
    )
    threshold = diagnostics.highest(graders) if body.pass_threshold is None else body.pass_threshold

    async def look(instruction: str | None) -> dict[str, Any]:
        async def ask(session: AsyncSession) -> Grading:
            plan = await planning.make(session, project_id, wanted, services.models, services.aliases)
            model = await client.find(session, project_id, wanted.model, services.models)
            return await dry_runs.create(
                session,
                project_id,
                plan,
                model,
                prompts=body.prompts,
                samples=body.samples,
                seed=body.seed,
                instruction=instruction,
                right_from=threshold,
            )

        return dry_runs.outcome(await wait_for_answer(services, ask))

    found = await asyncio.gather(look(None), look(measuring.INSTRUCTION), return_exceptions=True)
    for each in found:
        if isinstance(each, BaseException):
            raise each
    plain, instructed = (Variant.of(each) for each in found if isinstance(each, dict))
    shown = measuring.to_json(plain, instructed, body.samples, body.prompts, threshold)
    return shown, replace(situation, measured=measuring.better(plain, instructed, body.samples))
