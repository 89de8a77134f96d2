"""Two things at the same moment, many times over, each time a little differently: at the database, on both kinds."""

import asyncio
import random
from pathlib import Path

import pytest
from sqlalchemy import select

from fettle.datasets import files
from fettle.db import Database
from fettle.errors import Conflict, Fenced, InvalidRequest
from fettle.jobs import leases, lifecycle
from fettle.registry.catalog import BUILT_IN
from fettle.settings import Settings
from fettle.storage import LocalStorage, artifacts
from models import ENDED, File, Job, JobStatus, Project
from tests.faults import invariants
from tests.fettle import given
from worker.attempts.attempt import Attempt
from worker.attempts.resources import Resources
from worker.jobs import publishing

ROUNDS = 25


@pytest.fixture
def resources(db: Database, tmp_path: Path) -> Resources:
    return Resources(Settings(data=tmp_path), db, LocalStorage(str(tmp_path / "storage")), BUILT_IN, threads=1)


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


async def store_datasets(resources: Resources) -> None:
    """The objects of the files that `given` made rows of: the invariants miss them."""
    async with resources.db.snapshot() as session:
        keys = list(await session.scalars(select(File.storage_key)))
    for key in keys:
        await artifacts.put_bytes(resources.storage, key, b"rows")


class Race:
    """One running job, and what users, its worker and the reconciler may do to it at the same moment."""

    def __init__(self, attempt: Attempt, adapter: Path, seed: int) -> None:
        self.attempt, self.adapter, self.random = attempt, adapter, random.Random(seed)
        self.resources, self.job = attempt.resources, attempt.job

    async def cancel(self) -> None:
        async with self.resources.db.transaction() as session:
            await lifecycle.cancel(session, self.job.project_id, self.job.id)

    async def pause(self) -> None:
        async with self.resources.db.transaction() as session:
            await lifecycle.pause(session, self.job.project_id, self.job.id)

    async def resume(self) -> None:
        async with self.resources.db.transaction() as session:
            await lifecycle.resume(session, self.job.project_id, self.job.id)

    async def publish(self) -> None:
        await publishing.publish(self.attempt, self.adapter, {"trained_tokens": 1})

    async def release(self) -> None:
        async with self.resources.db.transaction() as session:
            row = await leases.hold(session, self.job.id, self.job.fence)
            leases.release(session, row, "The worker is stopping", max_attempts=3, counted=False)

    async def fail(self) -> None:
        async with self.resources.db.transaction() as session:
            leases.fail(session, await leases.hold(session, self.job.id, self.job.fence), "diverged", "It diverged.")

    async def run(self, *names: str) -> dict[str, bool]:
        """Which of them took place; what did not was refused, or found itself fenced."""

        async def late(name: str) -> bool:
            await asyncio.sleep(self.random.random() / 100)
            try:
                await getattr(self, name)()
            except (Conflict, Fenced):
                return False
            return True

        return dict(zip(names, await asyncio.gather(*map(late, names)), strict=True))


class TestRaces:
    async def test_cancel_and_success_end_in_one_of_the_two(
        self, db: Database, project: Project, resources: Resources, adapter: Path
    ) -> None:
        for seed in range(ROUNDS):
            race = Race(Attempt(resources, await given.claimed(db, project)), adapter, seed)
            took_place = await race.run("cancel", "publish")
            assert sum(took_place.values()) == 1, seed
            ended = await given.read(db, race.job)
            assert ended.status == (JobStatus.CANCELLED if took_place["cancel"] else JobStatus.SUCCEEDED)
        await store_datasets(resources)
        await invariants.assert_hold(db, resources.storage, set(), set())

    async def test_everything_at_once_leaves_one_legal_state(
        self, db: Database, project: Project, resources: Resources, adapter: Path
    ) -> None:
        everything = ("cancel", "pause", "resume", "publish", "release", "fail")
        for seed in range(ROUNDS):
            race = Race(Attempt(resources, await given.claimed(db, project)), adapter, seed)
            took_place = await race.run(*everything)
            ends = [name for name in ("cancel", "publish", "fail") if took_place[name]]
            assert len(ends) <= 1, (seed, took_place)
            assert bool(ends) == ((await given.read(db, race.job)).status in ENDED), (seed, took_place)
            if not ends:
                await race.cancel()
        await store_datasets(resources)
        await invariants.assert_hold(db, resources.storage, set(), set())

    async def test_a_file_is_never_deleted_from_under_a_job_that_is_created(
        self, db: Database, project: Project
    ) -> None:
        outcomes = set()
        for seed in range(ROUNDS):
            file, dice = await given.dataset(db, project), random.Random(seed)

            async def create(file: File = file, dice: random.Random = dice) -> None:
                async with db.transaction() as session:
                    await asyncio.sleep(dice.random() / 200)
                    await lifecycle.create(session, project, given.request(file), BUILT_IN)
                    await asyncio.sleep(dice.random() / 100)  # the commit comes late

            async def delete(file: File = file, dice: random.Random = dice) -> None:
                await asyncio.sleep(dice.random() / 100)
                async with db.transaction() as session:
                    await files.delete(session, project.id, file.id)
                    await asyncio.sleep(dice.random() / 100)

            created, deleted = await asyncio.gather(create(), delete(), return_exceptions=True)
            assert (created is None) != (deleted is None), (seed, created, deleted)
            assert isinstance(created or deleted, InvalidRequest | Conflict)
            outcomes.add(created is None)
        assert outcomes == {True, False}, "the seeds no longer reach both ends"
        async with db.snapshot() as session:
            left = set(await session.scalars(select(File.id)))
            assert {job.training_file for job in await session.scalars(select(Job))} <= left
