"""Jobs that go on from a tuned model or a checkpoint."""

from typing import Any

import pytest

from fettle import ids, methods
from fettle.db import Database
from fettle.errors import Conflict, InvalidRequest, NotFound
from fettle.registry import tuned_models
from models import Checkpoint, Job, Project, TunedModel
from tests.fettle import given

NAME = "ft:starter:default::start"
CHECKPOINT = f"{NAME}:ckpt-step-4"


async def start(db: Database, project: Project, **columns: Any) -> Job:
    """A job, its tuned model and a checkpoint."""
    job = await given.job(db, project, **columns)
    kind = tuned_models.kind_of(job)
    shared = {"project_id": project.id, "job_id": job.id}
    async with db.transaction() as session:
        session.add(TunedModel(name=NAME, base_model="starter", kind=kind, prefix="jobs/a/1/adapter", **shared))
        session.add(
            Checkpoint(id=ids.new("ftckpt_"), name=CHECKPOINT, step=4, metrics={}, prefix="jobs/a/1/c", **shared)
        )
    return job


async def go_on(db: Database, project: Project, model: str, lora: dict[str, Any] | None = None) -> Job:
    method = methods.SupervisedMethod.model_validate(
        {"type": "supervised", "supervised": {"hyperparameters": {"lora": lora or {}}}}
    )
    wanted = given.request(await given.dataset(db, project), model=model, method=method)
    return (await given.create(db, project, wanted))[0]


def lora_of(job: Job) -> dict[str, Any]:
    found: dict[str, Any] = job.method["supervised"]["hyperparameters"]["lora"]
    return found


@pytest.mark.parametrize("model", [NAME, CHECKPOINT])
async def test_a_job_says_where_it_started_and_on_which_base(db: Database, project: Project, model: str) -> None:
    await start(db, project)
    job = await go_on(db, project, model)
    assert (job.started_from, job.base_model) == (model, "starter")


@pytest.mark.parametrize("model", [NAME, CHECKPOINT])
async def test_another_tenants_model_is_as_unknown_as_none(db: Database, project: Project, model: str) -> None:
    await start(db, project)
    with pytest.raises(NotFound, match="does not exist"):
        await go_on(db, await given.stranger(db), model)


async def test_the_adapters_form_is_kept(db: Database, project: Project) -> None:
    first = await start(db, project)
    method = {**first.method, "supervised": {"hyperparameters": {**first.method["supervised"]["hyperparameters"]}}}
    method["supervised"]["hyperparameters"]["lora"] = {**lora_of(first), "rank": 8, "alpha": 24}
    await given.change(db, first, method=method)
    job = await go_on(db, project, NAME, {"dropout": 0.1})
    assert lora_of(job) == {**lora_of(first), "rank": 8, "alpha": 24, "dropout": 0.1}
    with pytest.raises(InvalidRequest, match=r"lora.rank is 16, but the adapter .* has 8"):
        await go_on(db, project, NAME, {"rank": 16})


async def test_only_reward_models_go_on_from_a_reward_model(db: Database, project: Project) -> None:
    first = await start(db, project)
    method = {"type": "reward_model", "reward_model": first.method["supervised"]}
    await given.change(db, first, method=method)
    async with db.transaction() as session:
        (await session.get_one(TunedModel, NAME)).kind = tuned_models.REWARD_MODEL
    with pytest.raises(InvalidRequest, match="is a reward model"):
        await go_on(db, project, NAME)


async def test_a_model_is_not_deleted_while_a_job_needs_it(db: Database, project: Project) -> None:
    await start(db, project)
    job = await go_on(db, project, NAME)
    async with db.transaction() as session:
        with pytest.raises(Conflict, match=job.id):
            await tuned_models.delete(session, project.id, NAME)
