import csv
from pathlib import Path

import pytest
from sqlalchemy import select

from fettle.errors import Fenced, TrainingFailed
from fettle.jobs import events, leases, lifecycle
from fettle.methods import METHODS
from fettle.storage import artifacts
from models import Checkpoint, Eval, EvalRun, Event, File, Job, JobStatus, TunedModel
from worker.attempts.attempt import Attempt
from worker.jobs import publishing

DONE = {"type": "done", "path": "adapter", "step": 2, "trained_tokens": 120}


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


class TestPublish:
    async def test_one_transaction_makes_model_results_and_success(self, attempt: Attempt, adapter: Path) -> None:
        async with attempt.resources.db.transaction() as session:
            data = {"step": 1, "total_steps": 1, "train_loss": 0.5, "train_mean_token_accuracy": 0.75}
            events.add(session, attempt.job.id, "Step 1/1", type="metrics", data=data)
        await publishing.publish(attempt, adapter, DONE)
        async with attempt.resources.db.snapshot() as session:
            row = await session.get_one(Job, attempt.job.id)
            model = (await session.scalars(select(TunedModel))).one()
            result = await session.get_one(File, row.result_files[0])
            messages = (await session.scalars(select(Event.message))).all()
        assert row.status == JobStatus.SUCCEEDED
        assert f"New fine-tuned model created: {model.name}" in messages
        assert "The job has successfully completed" in messages
        assert (row.lease_until, row.pause_requested_at, row.kept_by) == (None, None, None)
        assert row.finished_at is not None
        assert row.fine_tuned_model == model.name == "ft:starter:default:s:0123456789"
        assert row.trained_tokens == 120
        assert await attempt.storage.read(f"{model.prefix}/adapter_model.safetensors") == b"weights"
        table = (await attempt.storage.read(result.storage_key)).decode().splitlines()
        names = "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy"  # OpenAI's, and then ours
        assert table == [f"{names},learning_rate,grad_norm,tokens,tokens_per_second", "1,0.5,0.75,,,,,,"]
        assert result.bytes == len("\r\n".join([*table, ""]))

    @pytest.mark.parametrize(
        ("method", "reported", "accuracy", "behind"),
        [
            (
                "dpo",
                {"train_mean_token_accuracy": 0.75, "train_rewards_margins": 2.5, "valid_rewards_accuracies": 1.0},
                "0.75",
                {"train_rewards_margins": "2.5", "valid_rewards_accuracies": "1.0"},
            ),
            (
                "reward_model",
                {"train_accuracy": 0.9, "train_margin": 0.5, "valid_accuracy": 0.8, "train_reward_max": 3.0},
                "0.9",
                {"train_margin": "0.5", "train_reward_max": "3.0", "valid_accuracy": "0.8"},
            ),
            (
                "reinforcement",
                {"train_reward_mean": 0.4, "rewards/answer_correct/mean": 0.3, "kl": 0.1, "epoch": 1.0},
                "",
                {"kl": "0.1", "rewards/answer_correct/mean": "0.3", "train_reward_mean": "0.4"},
            ),
        ],
        ids=["dpo", "reward_model", "reinforcement"],
    )
    def test_whatever_a_method_reports_has_a_column_behind_openais(
        self, method: str, reported: dict[str, float], accuracy: str, behind: dict[str, str]
    ) -> None:
        named = METHODS[method].accuracy
        table = publishing.step_metrics({1: {"total_steps": 1, **reported}}, named).decode()
        (row,) = csv.DictReader(table.splitlines())
        assert list(row) == [*publishing.COLUMNS, *behind]
        assert row["train_accuracy"] == accuracy
        assert {name: row[name] for name in behind} == behind

    async def test_the_job_says_what_it_took(self, attempt: Attempt, adapter: Path) -> None:
        async with attempt.resources.db.transaction() as session:
            data = {"step": 1, "total_steps": 1, "train_loss": 0.5, "tokens": 60, "tokens_per_second": 120.0}
            events.add(session, attempt.job.id, "Step 1/1", type="metrics", data=data)
        await publishing.publish(attempt, adapter, DONE)
        async with attempt.resources.db.snapshot() as session:
            measured = (await session.get_one(Job, attempt.job.id)).measured
        assert measured is not None
        assert (measured["steps"], measured["tokens"], measured["phases"][0]["seconds"]) == (1, 60, 0.5)
        assert measured["whole"] and measured["cost"] is None

    async def test_a_fenced_worker_publishes_nothing(self, attempt: Attempt, adapter: Path) -> None:
        async with attempt.resources.db.transaction() as session:
            await lifecycle.cancel(session, attempt.job.project_id, attempt.job.id)
        with pytest.raises(Fenced):
            await publishing.publish(attempt, adapter, DONE)
        async with attempt.resources.db.snapshot() as session:
            assert (await session.get_one(Job, attempt.job.id)).status == JobStatus.CANCELLED
            assert not (await session.scalars(select(TunedModel))).all()
            assert not (await session.scalars(select(File).where(File.purpose == "fine-tune-results"))).all()
            messages = (await session.scalars(select(Event.message))).all()
        assert "The job has successfully completed" not in messages

    @pytest.mark.parametrize("kind", ["file", "folder", "link"])
    async def test_a_folder_with_more_than_an_adapter_is_not_published(
        self, attempt: Attempt, adapter: Path, kind: str
    ) -> None:
        strange = adapter / ("training_args.bin" if kind == "file" else "tokenizer.json")
        if kind == "file":
            strange.write_bytes(b"a pickle")
        elif kind == "folder":
            strange.mkdir()
        else:
            strange.symlink_to("/etc/passwd")
        with pytest.raises(TrainingFailed, match=repr(strange.name)) as refused:
            await publishing.publish(attempt, adapter, DONE)
        assert refused.value.code == "unexpected_files"
        assert await attempt.storage.list(f"jobs/{attempt.job.id}") == []
        async with attempt.resources.db.snapshot() as session:
            assert not (await session.scalars(select(TunedModel))).all()

    def test_what_a_child_leaves_is_what_is_expected(self) -> None:
        from worker.training.model.adapter import TOKENIZER_FILES

        expected = {"adapter_config.json", "adapter_model.safetensors", *TOKENIZER_FILES}
        assert expected == artifacts.ADAPTER_FILES


EVALUATION = {
    "step": 2,
    "rows": 5,
    "base": {"loss": 2.0, "perplexity": 7.389, "token_accuracy": 0.5, "exact_match": 0.0},
    "tuned": {"loss": 1.0, "perplexity": 2.718, "token_accuracy": 0.75, "exact_match": 0.2},
    "samples": [{"prompt": [], "expected": "canary", "base": "no", "tuned": "canary"}],
}


class TestEvaluation:
    async def test_a_job_that_succeeded_has_it_as_an_eval(self, attempt: Attempt, adapter: Path) -> None:
        await publishing.publish_evaluation(attempt, EVALUATION)
        async with attempt.resources.db.snapshot() as session:
            assert not (await session.scalars(select(Eval))).all()
        await publishing.publish(attempt, adapter, DONE)
        async with attempt.resources.db.snapshot() as session:
            runs = await session.scalars(select(EvalRun).order_by(EvalRun.passed))
        assert [(run.eval_id, run.model, run.passed, run.failed) for run in runs] == [
            (f"eval_{attempt.job.id}", "starter", 0, 1),
            (f"eval_{attempt.job.id}", "ft:starter:default:s:0123456789", 1, 0),
        ]

    async def test_it_becomes_the_jobs_and_an_event_without_its_texts(self, attempt: Attempt) -> None:
        await publishing.publish_evaluation(attempt, EVALUATION)
        async with attempt.resources.db.snapshot() as session:
            row = await session.get_one(Job, attempt.job.id)
            event = (await session.scalars(select(Event).where(Event.message.startswith("Evaluation")))).one()
        assert row.evaluation == EVALUATION
        assert "loss 2.0000 → 1.0000, perplexity 7.39 → 2.72, token accuracy 50.0% → 75.0%" in event.message
        assert "canary" not in str(event.data)

    async def test_a_fenced_worker_stores_none(self, attempt: Attempt) -> None:
        async with attempt.resources.db.transaction() as session:
            await lifecycle.cancel(session, attempt.job.project_id, attempt.job.id)
        with pytest.raises(Fenced):
            await publishing.publish_evaluation(attempt, EVALUATION)


class TestRewardModel:
    async def rlhf(self, attempt: Attempt) -> None:
        async with attempt.resources.db.transaction() as session:
            row = await session.get_one(Job, attempt.job.id)
            row.method = {"type": "rlhf", "rlhf": {"reward_model": None, "hyperparameters": {}}}

    async def test_it_is_a_model_of_its_own_that_the_job_names(self, attempt: Attempt, adapter: Path) -> None:
        await self.rlhf(attempt)
        for _ in range(2):  # a run that went on from its end publishes it once more
            await publishing.publish_reward_model(attempt, adapter)
        async with attempt.resources.db.snapshot() as session:
            row = await session.get_one(Job, attempt.job.id)
            model = (await session.scalars(select(TunedModel))).one()
        assert model.name == row.method["rlhf"]["reward_model"] == "ft:starter:default:s:0123456789:reward-model"
        assert model.kind == "reward_model"
        assert row.status == JobStatus.RUNNING
        assert await attempt.storage.read(f"{model.prefix}/adapter_model.safetensors") == b"weights"

    async def test_its_evaluation_stays_beside_the_policys(self, attempt: Attempt) -> None:
        first = {**EVALUATION, "phase": "reward_model"}
        await publishing.publish_evaluation(attempt, first)
        await publishing.publish_evaluation(attempt, {**EVALUATION, "phase": "policy"})
        async with attempt.resources.db.snapshot() as session:
            found = (await session.get_one(Job, attempt.job.id)).evaluation
        assert found == {**EVALUATION, "phase": "policy", "reward_model": first}


class TestCheckpoint:
    async def test_the_same_step_again_replaces_the_row(self, attempt: Attempt, adapter: Path) -> None:
        for loss in (0.5, 0.4):
            line = {"step": 2, "metrics": {"step": 2, "train_loss": loss}}
            await publishing.publish_checkpoint(attempt, adapter, line)
        async with attempt.resources.db.snapshot() as session:
            row = (await session.scalars(select(Checkpoint))).one()
        assert row.metrics["train_loss"] == 0.4
        assert row.name == "ft:starter:default:s:0123456789:ckpt-step-2"

    async def test_deaths_before_a_later_checkpoint_do_not_count_and_deaths_without_progress_do(
        self, attempt: Attempt, adapter: Path
    ) -> None:
        async def die() -> None:
            nonlocal attempt
            await attempt.write(lambda session, row: leases.release(session, row, "It died", max_attempts=3), last=True)
            async with attempt.resources.db.transaction() as session:
                claimed = await leases.claim(session, "this worker", 60)
            if claimed is not None:
                attempt = Attempt(attempt.resources, claimed)

        async def deaths() -> tuple[JobStatus, int]:
            async with attempt.resources.db.snapshot() as session:
                row = await session.get_one(Job, attempt.job.id)
            return row.status, row.deaths

        for step in (2, 4, 6):  # four deaths in all, each after progress
            await die()
            await publishing.publish_checkpoint(attempt, adapter, {"step": step, "metrics": {"step": step}})
            assert await deaths() == (JobStatus.RUNNING, 0)
        await die()
        await publishing.publish_checkpoint(attempt, adapter, {"step": 6, "metrics": {"step": 6}})  # no further
        assert await deaths() == (JobStatus.RUNNING, 1)
        await die()
        await die()
        assert await deaths() == (JobStatus.FAILED, 3)
