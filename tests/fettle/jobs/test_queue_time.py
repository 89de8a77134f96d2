"""When a new job would start, worked out by hand; and from the rows of a real queue."""

import time

from fettle.db import Database
from fettle.estimates.forecast import Interval
from fettle.jobs import waiting, workers
from fettle.jobs.queue_time import Start, start, starts
from fettle.settings import Settings
from models import JobStatus, Project, Worker
from tests.fettle import given


def each(*seconds: float | None) -> list[Interval | None]:
    return [None if one is None else Interval(one, one / 2, one * 3) for one in seconds]


def test_with_a_free_slot_it_starts_at_once() -> None:
    assert start(2, each(60), []).seconds == 0
    assert start(1, [], []).seconds == 0


def test_on_one_slot_jobs_follow_each_other() -> None:
    found = start(1, each(10), each(100, 20))
    assert found.seconds == 130
    assert found.message.startswith("There are 1 job running and 2 waiting, on 1 slot.")


def test_on_several_slots_the_first_free_one_takes_the_next() -> None:
    assert start(2, each(10, 50), each(100)).seconds == 50  # 10 + 100 on the first slot; the second is free at 50
    assert start(2, each(10, 50), each(100, 5)).seconds == 55
    assert start(3, each(10), each(100, 100, 5)).seconds == 15


def test_every_place_has_a_start_with_its_bounds() -> None:
    first, second, last = starts(1, each(10), each(100, 20))
    assert (first, second) == (Interval(10, 5, 30), Interval(110, 55, 330))
    assert last == Interval(130, 65, 390)


def test_a_job_of_unknown_length_hides_only_the_starts_after_it() -> None:
    assert [one.likely for one in starts(1, each(10), each(100, None, 5))] == [10, 110]
    assert starts(1, each(None), each(100)) == []
    assert starts(0, [], each(100)) == []


def test_a_job_of_unknown_length_makes_the_start_unknown() -> None:
    found = start(1, each(None), [])
    assert found.seconds is None and "no job has finished yet" in found.message


def test_a_queue_that_was_not_all_looked_at_cannot_be_foreseen() -> None:
    assert start(1, each(10), each(10), behind=3).seconds is None


class TestOfRows:
    async def new_job(self, db: Database, settings: Settings) -> Start:
        async with db.snapshot() as session:
            return (await waiting.queue(session, settings)).start_of_new_job()

    async def announced(self, db: Database, slots: int = 1, memory: list[int | None] | None = None) -> None:
        async with db.transaction() as session:
            row = Worker(
                id="w", host="h", version="1", slots=["CPU"] * slots, memory=memory, base_models=[], stopping=False
            )
            await workers.announce(session, row)

    async def test_without_a_worker_it_waits(self, db: Database, settings: Settings) -> None:
        found = await self.new_job(db, settings)
        assert found.seconds is None and "No worker is running" in found.message

    async def test_on_ray_nobody_can_foresee_it(self, db: Database, settings: Settings) -> None:
        await self.announced(db, slots=0)
        found = await self.new_job(db, settings)
        assert found.seconds is None and "Ray finds a place" in found.message

    async def test_running_and_queued_jobs_count_with_what_they_were_estimated_to_take(
        self, db: Database, project: Project, settings: Settings
    ) -> None:
        await self.announced(db)
        running = await given.job(
            db, project, status=JobStatus.RUNNING, owner="w:0", estimated_finish=time.time() + 100
        )
        await given.job(db, project, estimate={"seconds": {"likely": 50.0, "low": 25.0, "high": 100.0}})
        found = await self.new_job(db, settings)
        assert found.seconds is not None and 140 < found.seconds <= 150
        await given.change(db, running, estimated_finish=None)
        assert (await self.new_job(db, settings)).seconds is None
        await given.job(db, project, status=JobStatus.SUCCEEDED, measured={"seconds": 30.0})
        assert (await self.new_job(db, settings)).seconds == 80

    async def test_the_smallest_device_counts(self, db: Database) -> None:
        async with db.snapshot() as session:
            assert await workers.smallest_device(session, 10) is None
        await self.announced(db, 2, [8, 4])
        async with db.snapshot() as session:
            found = await workers.smallest_device(session, 10)
        assert found is not None and (found.name, found.memory, found.gpus) == ("CPU", 4, 0)
        await self.announced(db, 2, [8, None])
        async with db.snapshot() as session:
            found = await workers.smallest_device(session, 10)
        assert found is not None and found.memory is None
