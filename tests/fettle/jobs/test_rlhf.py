"""Jobs of the method `rlhf`: what their `auto`s become, what they may learn from, and what is refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from fettle import ids, methods
from fettle.db import Database
from fettle.errors import Conflict, InvalidRequest, NotFound
from fettle.methods import RLHFMethod
from fettle.registry import tuned_models
from models import Checkpoint, File, Job, Project, TunedModel
from tests.fettle import given

SCORER = "ft:starter:default::scorer"


def method(**asked: Any) -> RLHFMethod:
    return RLHFMethod.model_validate({"type": "rlhf", "rlhf": asked})


def resolved(rows: int = 1000, parameters: int = 1_000_000_000, **asked: Any) -> dict[str, Any]:
    facts = methods.Given(rows=rows, base_parameters=parameters, base_length=4096)
    found: dict[str, Any] = methods.resolve(method(**asked), facts)["rlhf"]
    return found


class TestAutos:
    def test_ppo_makes_64_completions_an_update_in_about_40_updates(self) -> None:
        found = resolved()["hyperparameters"]
        assert (found["batch_size"], found["group_size"], found["minibatch_size"]) == (64, 1, 32)
        assert found["n_epochs"] == 3  # 1000 // 64 = 15 an epoch; 40 / 15 = 2.7
        assert (found["kl_coefficient"], found["kl_target"], found["ppo_epochs"]) == (0.05, 6.0, 2)
        assert (found["clip"], found["value_clip"], found["gamma"], found["lam"]) == (0.2, 0.2, 1.0, 0.95)
        assert (found["missing_eos_penalty"], found["max_completion_tokens"]) == (1.0, 512)

    @pytest.mark.parametrize(("parameters", "rate"), [(1_000_000_000, 3e-5), (1_000_000, 1e-3)])
    def test_the_value_head_learns_ten_times_as_fast(self, parameters: int, rate: float) -> None:
        found = resolved(parameters=parameters)["hyperparameters"]
        assert (found["learning_rate"], found["value_learning_rate"]) == (rate, pytest.approx(10 * rate))

    def test_rloo_answers_each_prompt_four_times_and_has_nothing_of_ppo(self) -> None:
        found = resolved(algorithm="rloo")["hyperparameters"]
        assert (found["batch_size"], found["group_size"]) == (16, 4)
        assert not found.keys() & {"kl_target", "ppo_epochs", "minibatch_size", "value_learning_rate", "lam"}

    def test_few_prompts_are_all_taken_at_once(self) -> None:
        found = resolved(rows=10)["hyperparameters"]
        assert (found["batch_size"], found["minibatch_size"], found["n_epochs"]) == (10, 5, 40)

    def test_a_reward_model_that_is_to_be_trained_has_its_own(self) -> None:
        found = resolved(reward_model_hyperparameters={"n_epochs": 2})
        assert found["reward_model"] is None
        theirs = found["reward_model_hyperparameters"]
        assert (theirs["n_epochs"], theirs["center_rewards_coefficient"]) == (2, 0.01)

    def test_one_that_is_there_needs_none(self) -> None:
        found = resolved(reward_model=SCORER)
        assert (found["reward_model"], found["reward_model_hyperparameters"]) == (SCORER, None)

    def test_both_look_through_the_same_base(self) -> None:
        found = resolved(hyperparameters={"quantization": "nf4"})
        assert found["reward_model_hyperparameters"]["quantization"] == "nf4"
        with pytest.raises(InvalidRequest, match="must be the same for both"):
            resolved(reward_model_hyperparameters={"quantization": "nf4"})

    def test_a_null_target_leaves_the_coefficient_as_it_is(self) -> None:
        found = resolved(hyperparameters={"kl_target": None, "kl_coefficient": 0.2})["hyperparameters"]
        assert (found["kl_target"], found["kl_coefficient"]) == (None, 0.2)


class TestRefusals:
    @pytest.mark.parametrize(
        ("asked", "words"),
        [
            ({"algorithm": "rloo", "hyperparameters": {"lam": 0.9}}, "'lam' is of the algorithm 'ppo'"),
            ({"algorithm": "rloo", "hyperparameters": {"group_size": 1}}, "must be 2 or more"),
            ({"algorithm": "grpo"}, "'ppo' or 'rloo'"),
            ({"reward_model": "x", "reward_model_hyperparameters": {}}, "give either 'reward_model'"),
            ({"hyperparameters": {"clip": 1.0}}, "less than 1"),
        ],
    )
    def test_what_does_not_go_together(self, asked: dict[str, Any], words: str) -> None:
        with pytest.raises(ValidationError, match=words):
            method(**asked)

    @pytest.mark.parametrize(
        ("asked", "words"),
        [
            ({"batch_size": 64}, "more than the 10 rows"),
            ({"batch_size": 4, "minibatch_size": 8}, "more than the 4 completions of an update"),
            ({"max_completion_tokens": 5000}, "leaves no room for a prompt"),
        ],
    )
    def test_what_the_file_and_the_base_do_not_allow(self, asked: dict[str, Any], words: str) -> None:
        with pytest.raises(InvalidRequest, match=words):
            resolved(rows=10, hyperparameters=asked)


async def file_of(db: Database, project: Project, shape: str) -> File:
    file = await given.dataset(db, project)
    async with db.transaction() as session:
        row = await session.get_one(File, file.id)
        row.report = {"rows": 100, "summary": None, "shape": shape}
    return row


async def create(db: Database, project: Project, shape: str = "ranking", **asked: Any) -> Job:
    wanted = given.request(await file_of(db, project, shape), method=method(**asked))
    return (await given.create(db, project, wanted))[0]


async def scorer(db: Database, project: Project, *, name: str = SCORER, kind: str = "reward_model") -> None:
    maker = await given.job(db, project)
    async with db.transaction() as session:
        session.add(
            TunedModel(name=name, base_model="starter", kind=kind, prefix="p", project_id=project.id, job_id=maker.id)
        )


class TestRewardModels:
    async def test_without_one_the_file_must_compare_responses(self, db: Database, project: Project) -> None:
        with pytest.raises(InvalidRequest, match=r"holds rows of the shape 'prompts'.*'reward_model'"):
            await create(db, project, "prompts")

    @pytest.mark.parametrize("shape", ["prompts", "chat", "ranking", "preference"])
    async def test_with_one_prompts_are_enough(self, db: Database, project: Project, shape: str) -> None:
        await scorer(db, project)
        job = await create(db, project, shape, reward_model=SCORER)
        assert job.method["rlhf"]["reward_model"] == SCORER

    async def test_another_tenants_is_as_unknown_as_none(self, db: Database, project: Project) -> None:
        await scorer(db, await given.stranger(db))
        with pytest.raises(NotFound, match="does not exist") as refused:
            await create(db, project, reward_model=SCORER)
        assert refused.value.param == "method.rlhf.reward_model"

    async def test_a_model_that_chats_is_refused(self, db: Database, project: Project) -> None:
        await scorer(db, project, kind="chat")
        with pytest.raises(InvalidRequest, match="is not a reward model"):
            await create(db, project, reward_model=SCORER)

    async def test_one_on_another_base_is_refused(self, db: Database, project: Project) -> None:
        await scorer(db, project, name="ft:other:default::scorer")
        with pytest.raises(InvalidRequest, match="was trained on 'other', but the job's base is 'starter'"):
            await create(db, project, reward_model="ft:other:default::scorer")

    async def test_it_is_not_deleted_while_a_job_learns_from_it(self, db: Database, project: Project) -> None:
        await scorer(db, project)
        job = await create(db, project, reward_model=SCORER)
        with pytest.raises(Conflict, match=f"in use by the job '{job.id}'"):
            async with db.transaction() as session:
                await tuned_models.delete(session, project.id, SCORER)

    @pytest.mark.parametrize(("phase", "kind"), [("reward_model", "reward_model"), ("policy", "chat")])
    async def test_a_checkpoint_is_of_its_phases_kind(
        self, db: Database, project: Project, phase: str, kind: str
    ) -> None:
        job = await create(db, project)
        checkpoint = Checkpoint(
            id=ids.new("ftckpt_"), name="c", step=1, metrics={"phase": phase}, prefix="p",
            project_id=project.id, job_id=job.id,
        )  # fmt: skip
        async with db.transaction() as session:
            session.add(checkpoint)
            assert await tuned_models.kind(session, checkpoint) == kind
