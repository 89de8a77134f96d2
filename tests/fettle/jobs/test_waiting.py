import time

import pytest
from sqlalchemy import select

from fettle.db import Database
from fettle.jobs import leases, waiting, workers
from fettle.jobs.placement import Offer
from fettle.settings import Settings
from fettle.tenancy import projects
from models import Event, Job, Project
from tests.fettle import given
from tests.fettle.jobs.test_workers import row

SETTINGS = Settings(_env_file=None)


async def explain(db: Database, job: Job, settings: Settings = SETTINGS) -> waiting.Waiting:
    async with db.snapshot() as session:
        return (await waiting.queue(session, settings)).explain(job)


async def serve(db: Database, slots: int) -> None:
    async with db.transaction() as session:
        await workers.announce(session, row(slots=slots))


async def claim(db: Database, slot: int) -> None:
    async with db.transaction() as session:
        assert await leases.claim(session, f"host:1:{slot}", 60) is not None


async def told(db: Database, job: Job) -> list[str]:
    async with db.transaction() as session:
        await waiting.note_changes(session, SETTINGS)
    async with db.snapshot() as session:
        return list(await session.scalars(select(Event.message).where(Event.job_id == job.id).order_by(Event.seq)))


class TestReason:
    async def test_without_a_worker_it_says_how_to_start_one(self, db: Database, project: Project) -> None:
        found = await explain(db, await given.job(db, project))
        assert (found.reason, found.position) == ("no_worker", 1)
        assert "fettle worker" in found.message

    async def test_a_free_slot_is_about_to_take_it(self, db: Database, project: Project) -> None:
        await serve(db, 1)
        assert (await explain(db, await given.job(db, project))).reason == "starting"

    async def test_busy_slots_and_the_jobs_ahead_are_counted(self, db: Database, project: Project) -> None:
        await serve(db, 1)
        await given.job(db, project)
        await claim(db, 0)
        second, third = await given.job(db, project), await given.job(db, project)
        assert (await explain(db, second)).message == "The only slot is busy. This job starts next."
        found = await explain(db, third)
        assert (found.reason, found.position) == ("slots_busy", 2)
        assert found.message == "The only slot is busy. 1 job will start before this one."

    async def test_a_project_at_its_quota_waits_though_a_slot_is_free(self, db: Database, project: Project) -> None:
        await serve(db, 2)
        await given.job(db, project)
        await claim(db, 0)
        capped = Settings(_env_file=None, quota_running_jobs=1)
        found = await explain(db, await given.job(db, project), capped)
        assert found.reason == "quota"
        assert found.message == "The project runs 1 job, and its quota 'running_jobs' allows 1."

    async def test_a_job_that_no_worker_can_ever_run_says_what_is_missing(self, db: Database, project: Project) -> None:
        await serve(db, 1)
        found = await explain(db, await given.job(db, project, resources={"gpus": 2}))
        assert (found.reason, found.position) == ("no_fitting_worker", 1)
        assert found.message == (
            "No worker can run this job. On the slot that comes closest, it asks for 2 GPUs, and the slot has no GPU."
        )

    async def test_with_an_executor_jobs_wait_for_ray_whatever_the_slots_are(
        self, db: Database, project: Project
    ) -> None:
        await serve(db, 0)
        await given.job(db, project)
        second = await given.job(db, project, resources={"gpus": 2})
        found = await explain(db, second)
        assert (found.reason, found.position, found.estimated_start) == ("waiting_for_ray", 2, None)
        assert found.message == "Waiting for Ray to reserve 2 GPUs. 1 job will start before this one."
        assert await told(db, second) == [f"Created fine-tuning job: {second.id}", f"Waiting to start. {found.message}"]

    async def test_with_an_executor_a_full_quota_is_the_reason_all_the_same(
        self, db: Database, project: Project
    ) -> None:
        await serve(db, 0)
        await given.claimed(db, project)
        capped = Settings(_env_file=None, quota_running_jobs=1)
        assert (await explain(db, await given.job(db, project), capped)).reason == "quota"

    async def test_only_the_slots_that_can_run_it_count(self, db: Database, project: Project) -> None:
        async with db.transaction() as session:
            await workers.announce(session, row(slots=2, gpus=[0, 1]))
        await given.job(db, project, resources={"gpus": 1})
        async with db.transaction() as session:
            assert await leases.claim(session, "host:1:1", 60, offer=Offer("host", gpus=1)) is not None
        found = await explain(db, await given.job(db, project, resources={"gpus": 1}))
        assert found.message == "The only slot that can run it is busy. This job starts next."

    async def test_the_expected_start_follows_from_the_estimates(self, db: Database, project: Project) -> None:
        await serve(db, 1)
        seconds = {"likely": 100.0, "low": 50.0, "high": 300.0}
        await given.job(db, project, estimate={"seconds": seconds})
        await claim(db, 0)
        second, third = [await given.job(db, project, estimate={"seconds": seconds}) for _ in range(2)]
        now = time.time()
        found = (await explain(db, second)).estimated_start, (await explain(db, third)).estimated_start
        for start, jobs in zip(found, (1, 2), strict=True):
            assert start is not None
            expected = {"likely": 100 * jobs, "earliest": 50 * jobs, "latest": 300 * jobs}
            assert {name: moment - now for name, moment in start.items()} == pytest.approx(expected, abs=15)

    async def test_without_any_estimate_no_start_is_promised(self, db: Database, project: Project) -> None:
        await serve(db, 1)
        await given.job(db, project, estimate=None)
        await claim(db, 0)
        assert (await explain(db, await given.job(db, project, estimate=None))).estimated_start is None

    async def test_behind_those_that_are_looked_at_no_place_is_promised(self) -> None:
        busy = [Offer(), Offer()]
        queue = waiting.Queue(
            places={}, queued=2_000, slots=busy, free=[], running={}, caps={}, spent={}, takes=[], left=[None, None]
        )
        found = queue.explain(Job(id="ftjob-x", project_id="p"))
        assert found.position is None
        assert found.message == "All 2 slots are busy. More than 100 jobs wait before this one."


async def test_the_order_is_the_one_in_which_jobs_are_claimed(db: Database, project: Project) -> None:
    async with db.transaction() as session:
        second = await projects.ensure(session, "second")
    for whose, likely in ((project, 100.0), (project, 200.0), (project, 300.0), (second, 150.0), (second, 250.0)):
        await given.job(db, whose, estimate={"seconds": {"likely": likely, "low": likely, "high": likely}})
    async with db.snapshot() as session:
        places = (await waiting.queue(session, SETTINGS)).places
    claimed = []
    for slot in range(5):
        async with db.transaction() as session:
            job = await leases.claim(session, f"host:1:{slot}", 60)
            assert job is not None
            claimed.append(job.id)
    assert sorted(places, key=places.__getitem__) == claimed


class TestEvents:
    async def test_a_reason_is_told_once_and_again_when_it_changes(self, db: Database, project: Project) -> None:
        job = await given.job(db, project)
        before = await told(db, job)
        assert before[-1].startswith("Waiting to start. No worker is running.")
        assert await told(db, job) == before
        await serve(db, 1)
        other = await given.job(db, project)
        async with db.transaction() as session:
            (await session.get_one(Job, other.id)).created_at = 0.0
        await claim(db, 0)
        assert (await told(db, job))[len(before) :] == [
            "Waiting to start. The only slot is busy. This job starts next."
        ]
