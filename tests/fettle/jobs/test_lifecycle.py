import asyncio
import time

import pytest

from fettle.datasets import files
from fettle.db import Database
from fettle.errors import Conflict, InvalidRequest, NotFound
from fettle.jobs import leases, lifecycle
from models import Event, Job, JobStatus, Project
from tests.fettle import given

METADATA_KEYS = [
    "plain",
    "with space",
    "dotted.key",
    'double"quoted',
    "it's",
    "back\\slash",
    "$",
    "0",
    "[0]",
    "ü",
    "%s",
]


class TestCreate:
    async def test_a_new_job_waits_with_its_first_event(self, db: Database, project: Project) -> None:
        file = await given.dataset(db, project)
        job, created = await given.create(
            db, project, given.request(file, suffix="sums", seed=7, metadata={"team": "blue"})
        )
        assert created
        stored = await given.read(db, job)
        assert (stored.status, stored.fence, stored.attempts) == (JobStatus.QUEUED, 0, 0)
        assert (stored.suffix, stored.seed, stored.labels) == ("sums", 7, {"team": "blue"})
        assert stored.result_files == []
        assert await given.messages(db, job) == [f"Created fine-tuning job: {job.id}"]

    async def test_every_auto_is_shown_as_the_value_that_will_be_used(self, db: Database, project: Project) -> None:
        """1000 rows in batches of 8: 125 steps a pass; 300 ÷ 125 = 2.4, so 2 passes. The starter is a small base."""
        file = await given.dataset(db, project, rows=1000)
        job, _ = await given.create(db, project, given.request(file))
        method = (await given.read(db, job)).method
        assert {name: value for name, value in method.items() if name != "resolved_from"} == {
            "type": "supervised",
            "supervised": {
                "hyperparameters": {
                    "n_epochs": 2,
                    "batch_size": 8,
                    "learning_rate_multiplier": 1.0,
                    "learning_rate": 8e-4,
                    "max_seq_length": 2048,
                    "lora": {
                        "rank": 16,
                        "alpha": 32,
                        "dropout": 0.0,
                        "use_rslora": False,
                        "target_modules": "all-linear",
                    },
                    "packing": False,
                    "quantization": None,
                    "warmup_ratio": 0.05,
                    "eval_interval": "epoch",
                    "checkpoint_interval": "epoch",
                    "early_stopping": False,
                }
            },
        }

    async def test_a_seed_of_zero_is_kept_and_no_seed_is_drawn(self, db: Database, project: Project) -> None:
        file = await given.dataset(db, project)
        zero, _ = await given.create(db, project, given.request(file, seed=0))
        drawn = [(await given.create(db, project, given.request(file)))[0].seed for _ in range(5)]
        assert zero.seed == 0
        assert len(set(drawn)) > 1
        assert all(0 <= seed < 2**31 for seed in drawn)

    async def test_what_cannot_be_trained_is_refused_and_leaves_nothing(self, db: Database, project: Project) -> None:
        good = await given.dataset(db, project)
        short = await given.dataset(db, project, rows=9)
        foreign = await given.dataset(db, await given.stranger(db))
        empty = await given.dataset(db, project, rows=0)
        refusals = [
            (given.request(good, model="gpt-unknown"), NotFound, "gpt-unknown"),
            (given.request(good, model="ft:starter:default::abc"), NotFound, "ft:starter:default::abc"),
            (given.request(short), InvalidRequest, "9 example"),
            (given.request(foreign), InvalidRequest, foreign.id),
            (given.request(good, training_file="file-none"), InvalidRequest, "file-none"),
            (given.request(good, validation_file="file-none"), InvalidRequest, "file-none"),
            (given.request(good, validation_file=empty.id), InvalidRequest, "0 example"),
        ]
        for wanted, error, names in refusals:
            with pytest.raises(error, match=names):
                await given.create(db, project, wanted)
        assert await given.count(db, Job) == 0
        assert await given.count(db, Event) == 0

    async def test_ten_rows_are_enough_to_train_and_one_to_validate(self, db: Database, project: Project) -> None:
        training = await given.dataset(db, project, rows=files.MIN_TRAINING_ROWS)
        validation = await given.dataset(db, project, rows=1)
        _, created = await given.create(db, project, given.request(training, validation_file=validation.id))
        assert created


class TestGet:
    async def test_another_tenants_job_does_not_exist(self, db: Database, project: Project) -> None:
        job = await given.job(db, project)
        other = await given.stranger(db)
        async with db.snapshot() as session:
            assert (await lifecycle.get(session, project.id, job.id)).id == job.id
            with pytest.raises(NotFound, match=job.id) as foreign:
                await lifecycle.get(session, other.id, job.id)
            with pytest.raises(NotFound, match="ftjob-none") as unknown:
                await lifecycle.get(session, project.id, "ftjob-none")
        assert foreign.value.message.replace(job.id, "") == unknown.value.message.replace("ftjob-none", "")


class TestList:
    async def test_jobs_come_newest_first_page_by_page(self, db: Database, project: Project) -> None:
        made = [(await given.job(db, project, created_at=1000.0 + n)).id for n in range(5)]
        await given.job(db, await given.stranger(db))
        async with db.snapshot() as session:
            first, more = await lifecycle.newest(session, project.id, labels={}, after=None, limit=3)
            rest, no_more = await lifecycle.newest(session, project.id, labels={}, after=first[-1].id, limit=3)
        assert [job.id for job in [*first, *rest]] == made[::-1]
        assert (more, no_more) == (True, False)

    async def test_metadata_keeps_the_jobs_that_have_all_of_it(self, db: Database, project: Project) -> None:
        file = await given.dataset(db, project)
        wanted = [None, {"team": "blue"}, {"team": "blue", "run": "5"}, {"team": "red", "run": "5"}]
        made = [(await given.create(db, project, given.request(file, metadata=each)))[0].id for each in wanted]

        async def found(labels: dict[str, str]) -> set[str]:
            async with db.snapshot() as session:
                rows, _ = await lifecycle.newest(session, project.id, labels=labels, after=None, limit=100)
            return {job.id for job in rows}

        assert await found({"team": "blue"}) == {made[1], made[2]}
        assert await found({"run": "5"}) == {made[2], made[3]}
        assert await found({"team": "blue", "run": "5"}) == {made[2]}
        assert await found({"team": "green"}) == await found({"colour": "blue"}) == set()

    async def test_any_text_may_be_a_metadata_key(self, db: Database, project: Project) -> None:
        file = await given.dataset(db, project)
        for key in METADATA_KEYS:
            job, _ = await given.create(db, project, given.request(file, metadata={key: "true"}))
            async with db.snapshot() as session:
                rows, _ = await lifecycle.newest(session, project.id, labels={key: "true"}, after=None, limit=100)
            assert [row.id for row in rows] == [job.id], key


class TestCancel:
    async def cancel(self, db: Database, project: Project, job: Job) -> Job:
        async with db.transaction() as session:
            return await lifecycle.cancel(session, project.id, job.id)

    async def test_a_waiting_job_is_cancelled_at_once(self, db: Database, project: Project) -> None:
        job = await given.job(db, project)
        answered = await self.cancel(db, project, job)
        stored = await given.read(db, job)
        assert answered.status == stored.status == JobStatus.CANCELLED
        assert stored.finished_at == pytest.approx(time.time(), abs=60)
        assert await given.claim(db) is None
        assert (await given.messages(db, job))[-1] == "Fine-tuning job cancelled"

    async def test_a_running_job_loses_its_lease_and_its_fence_moves_on(self, db: Database, project: Project) -> None:
        job = await given.claimed(db, project)
        await self.cancel(db, project, job)
        stored = await given.read(db, job)
        assert (stored.status, stored.lease_until) == (JobStatus.CANCELLED, None)
        assert stored.fence == job.fence + 1

    async def test_a_job_that_has_ended_stays_as_it_ended(self, db: Database, project: Project) -> None:
        for status in given.ENDED:
            job = await given.job(db, project, status=status)
            with pytest.raises(Conflict, match=rf"already {status}\. It cannot be cancelled") as refused:
                await self.cancel(db, project, job)
            assert (refused.value.status, refused.value.retry) == (409, False)
            stored = await given.read(db, job)
            assert (stored.status, stored.fence, stored.finished_at) == (status, 0, None)
            assert await given.messages(db, job) == [f"Created fine-tuning job: {job.id}"]

    async def test_another_tenant_cannot_cancel(self, db: Database, project: Project) -> None:
        job = await given.job(db, project)
        with pytest.raises(NotFound):
            await self.cancel(db, await given.stranger(db), job)
        assert (await given.read(db, job)).status == JobStatus.QUEUED

    async def test_of_many_at_once_one_cancels(self, db: Database, project: Project) -> None:
        job = await given.job(db, project)
        answers = await asyncio.gather(*(self.cancel(db, project, job) for _ in range(15)), return_exceptions=True)
        assert sum(isinstance(answer, Job) for answer in answers) == 1
        assert sum(isinstance(answer, Conflict) for answer in answers) == 14
        assert (await given.read(db, job)).fence == 1
        assert (await given.messages(db, job)).count("Fine-tuning job cancelled") == 1

    async def test_cancelling_while_a_worker_claims_ends_cancelled(self, db: Database, project: Project) -> None:
        for _ in range(5):
            job = await given.job(db, project)
            await asyncio.gather(self.cancel(db, project, job), given.claim(db))
            stored = await given.read(db, job)
            assert stored.status == JobStatus.CANCELLED
            async with db.snapshot() as session:
                with pytest.raises(leases.Fenced):
                    await leases.check(session, job.id, stored.fence - 1)


class TestTunedModelName:
    @pytest.mark.parametrize(
        ("suffix", "name"), [("sums", "ft:starter:blue:sums:aaaaaaaaaa"), (None, "ft:starter:blue::aaaaaaaaaa")]
    )
    def test_it_holds_base_project_suffix_and_id(self, suffix: str | None, name: str) -> None:
        job = Job(id="ftjob-" + "a" * 24, base_model="starter", suffix=suffix)
        assert lifecycle.tuned_model_name(job, "blue") == name
