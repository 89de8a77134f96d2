"""A job of a higher priority asks one of a lower to make room. Time passes by moving the jobs' creation back."""

import asyncio
import time

import pytest

from fettle.db import Database
from fettle.jobs import leases, preemption, workers
from fettle.jobs.placement import CLASSES, Offer, Priority
from fettle.settings import Settings
from models import Job, JobStatus, Project
from tests.fettle import given
from tests.fettle.jobs.test_workers import row

SETTINGS = Settings(_env_file=None)
AGO = preemption.PATIENCE + 1


async def serve(db: Database, slots: int = 1) -> None:
    async with db.transaction() as session:
        await workers.announce(session, row(slots=slots))


async def job(db: Database, project: Project, priority: Priority, ago: float = AGO, **columns: object) -> Job:
    return await given.job(db, project, priority=CLASSES[priority], created_at=time.time() - ago, **columns)


async def running(db: Database, project: Project, priority: Priority, slot: int = 0, ago: float = AGO) -> Job:
    await job(db, project, priority, ago)
    found = await given.claim(db, f"host:1:{slot}")
    assert found is not None
    return found


async def make_room(db: Database, settings: Settings = SETTINGS) -> list[str]:
    async with db.transaction() as session:
        return await preemption.make_room(session, settings)


async def must_stop(db: Database, held: Job) -> bool:
    async with db.snapshot() as session:
        return await leases.check(session, held.id, held.fence)


class TestMakeRoom:
    @pytest.mark.parametrize(
        ("holds", "wants", "asked"),
        [
            ("low", "normal", True),
            ("low", "high", True),
            ("normal", "high", True),
            ("normal", "normal", False),
            ("high", "high", False),
            ("high", "low", False),
        ],
    )
    async def test_only_a_higher_priority_interrupts(
        self, db: Database, project: Project, holds: Priority, wants: Priority, asked: bool
    ) -> None:
        await serve(db)
        held = await running(db, project, holds)
        await job(db, project, wants)
        assert await make_room(db) == ([held.id] if asked else [])
        assert await must_stop(db, held) == asked

    async def test_a_free_slot_is_taken_first(self, db: Database, project: Project) -> None:
        await serve(db, 2)
        held = await running(db, project, "low")
        await job(db, project, "high")
        assert await make_room(db) == []
        await running(db, project, "low", slot=1)
        assert not await must_stop(db, held)

    async def test_it_waits_a_moment_for_a_slot_before_it_asks(self, db: Database, project: Project) -> None:
        await serve(db)
        await running(db, project, "low")
        await job(db, project, "high", ago=0)
        assert await make_room(db) == []

    async def test_one_job_makes_room_for_one_however_many_workers_look(self, db: Database, project: Project) -> None:
        await serve(db, 3)
        for slot in range(3):
            await running(db, project, "low", slot)
        await job(db, project, "high")
        found = await asyncio.gather(*(make_room(db) for _ in range(4)))
        assert sorted(len(each) for each in found) == [0, 0, 0, 1]

    async def test_the_lowest_priority_makes_room_and_of_those_the_latest(self, db: Database, project: Project) -> None:
        await serve(db, 3)
        held = [await running(db, project, "normal", 0), await running(db, project, "low", 1)]
        held.append(await running(db, project, "low", 2))
        await job(db, project, "high")
        assert await make_room(db) == [held[2].id]
        await job(db, project, "high")
        assert await make_room(db) == [held[1].id]

    async def test_a_job_that_rose_by_waiting_is_not_sent_back(self, db: Database, project: Project) -> None:
        await serve(db)
        held = await running(db, project, "low", ago=13 * 3600)
        await job(db, project, "normal")
        assert await make_room(db) == []
        await job(db, project, "high")
        assert await make_room(db) == [held.id]

    async def test_a_slot_that_the_job_cannot_use_is_left_alone(self, db: Database, project: Project) -> None:
        await serve(db)
        await running(db, project, "low")
        await job(db, project, "high", resources={"gpus": 1})
        assert await make_room(db) == []

    async def test_a_project_that_runs_all_it_may_interrupts_nobody(self, db: Database, project: Project) -> None:
        await serve(db)
        await running(db, await given.stranger(db), "low")
        await job(db, project, "high")
        assert await make_room(db, Settings(_env_file=None, quota_running_jobs=0)) == []


class TestInterrupted:
    async def test_it_returns_to_the_queue_and_loses_no_attempt(self, db: Database, project: Project) -> None:
        await serve(db)
        stranger = await given.stranger(db)
        held, urgent = await running(db, stranger, "low"), await job(db, project, "high")
        await make_room(db)
        async with db.transaction() as session:
            taken = await leases.hold(session, held.id, held.fence)
            leases.release(session, taken, "The worker is stopping", max_attempts=1, counted=False)
        after = await given.read(db, held)
        assert (after.status, after.attempts, after.deaths) == (JobStatus.QUEUED, 0, 0)
        assert after.preempted_for is None
        said = await given.messages(db, held)
        assert said[-2:] == [
            preemption.ASKED,
            f"{leases.PREEMPTED}. The job will continue from its last checkpoint.",
        ]
        assert urgent.id not in " ".join(said)
        claims = [await given.claim(db, "host:1:0") for _ in range(2)]
        assert [each and each.id for each in claims] == [urgent.id, held.id]
        assert claims[1] is not None
        assert not await must_stop(db, claims[1])

    async def test_a_pause_that_comes_too_pauses_it(self, db: Database, project: Project) -> None:
        await serve(db)
        held = await running(db, project, "low")
        await job(db, project, "high")
        await make_room(db)
        async with db.transaction() as session:
            taken = await leases.hold(session, held.id, held.fence)
            taken.pause_requested_at = time.time()
            leases.release(session, taken, "The worker is stopping", max_attempts=1, counted=False)
        assert (await given.read(db, held)).status == JobStatus.PAUSED


class TestClaimOfWhatFits:
    """The claim takes only what its slot can run."""

    async def claim(self, db: Database, offer: Offer) -> str | None:
        async with db.transaction() as session:
            found = await leases.claim(session, "host:1:0", 60, offer=offer)
        return found and found.id

    async def test_a_job_that_the_slot_cannot_run_is_passed_over(self, db: Database, project: Project) -> None:
        wide = await given.job(db, project, resources={"gpus": 2}, priority=CLASSES["high"])
        plain = await given.job(db, project)
        gpu = Offer("h", gpus=1, memory=80 << 30, labels=frozenset({"eu"}))
        assert await self.claim(db, gpu) == plain.id
        assert await self.claim(db, gpu) is None
        assert await self.claim(db, Offer("h", gpus=2)) == wide.id
        labelled = await given.job(db, project, resources={"labels": ["eu"], "gpu_memory_gib": 40})
        assert await self.claim(db, Offer("h")) is None
        assert await self.claim(db, gpu) == labelled.id

    async def test_more_jobs_than_are_looked_at_that_cannot_run_hide_none(
        self, db: Database, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("fettle.jobs.candidates.OF_A_PROJECT", 2)
        for _ in range(3):
            await given.job(db, project, resources={"labels": ["mars"]})
        plain = await given.job(db, project)
        assert await self.claim(db, Offer("h")) == plain.id
