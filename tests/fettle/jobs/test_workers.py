from sqlalchemy import update

from fettle.db import Database
from fettle.jobs import leases, workers
from models import Project, Worker
from tests.fettle import given

HEARTBEAT = 10  # seconds


def row(id: str = "host:1", slots: int = 1, gpus: list[int] | None = None) -> Worker:
    return Worker(
        id=id,
        host="host",
        version="0.1",
        slots=["CPU"] * slots,
        gpus=gpus,
        base_models=["starter"],
        sandbox=None,
        stopping=False,
    )


async def announce(db: Database, *rows: Worker) -> None:
    async with db.transaction() as session:
        for each in rows:
            await workers.announce(session, each)


async def seen(db: Database, project_id: str | None = None) -> dict[str, workers.Seen]:
    async with db.snapshot() as session:
        return {each.worker.id: each for each in await workers.seen(session, HEARTBEAT, project_id)}


async def test_a_worker_is_alive_until_it_has_missed_three_heartbeats(db: Database) -> None:
    worker = row()
    await announce(db, worker)
    assert (await seen(db))["host:1"].alive
    async with db.transaction() as session:
        await session.execute(update(Worker).values(seen_at=Worker.seen_at - 3 * HEARTBEAT - 1))
    assert not (await seen(db))["host:1"].alive
    async with db.transaction() as session:
        await workers.renew(session, worker)
    assert (await seen(db))["host:1"].alive


async def test_a_heartbeat_brings_back_a_row_that_was_removed(db: Database) -> None:
    worker = row()
    await announce(db, worker)
    async with db.transaction() as session:
        await workers.remove(session, worker.id)
    assert await seen(db) == {}
    async with db.transaction() as session:
        await workers.renew(session, worker)
    assert (await seen(db))["host:1"].alive


async def test_a_heartbeat_says_that_the_worker_is_stopping(db: Database) -> None:
    worker = row()
    await announce(db, worker)
    worker.stopping, worker.sandbox = True, "landlock6+seccomp"
    async with db.transaction() as session:
        await workers.renew(session, worker)
    found = (await seen(db))["host:1"].worker
    assert (found.stopping, found.sandbox) == (True, "landlock6+seccomp")


async def test_a_busy_slot_names_its_job_to_its_own_project_only(db: Database, project: Project) -> None:
    await announce(db, row(slots=2))
    job = await given.job(db, project)
    async with db.transaction() as session:
        await leases.claim(session, "host:1:1", 60)
    assert (await seen(db))["host:1"].busy == {1: job.id}
    assert (await seen(db, project.id))["host:1"].busy == {1: job.id}
    assert (await seen(db, "another"))["host:1"].busy == {1: None}
