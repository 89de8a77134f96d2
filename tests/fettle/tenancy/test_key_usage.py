"""What keys have used, with runs whose moments the test sets."""

import pytest
from sqlalchemy import select, update

from fettle.db import Database, database_now
from fettle.tenancy import key_usage
from fettle.tenancy.key_usage import KeyUsage
from models import File, JobStatus, Project
from tests.fettle import given
from tests.fettle.jobs.test_runs import set_run


async def test_gpu_time_tokens_and_bytes_are_summed_by_key(db: Database, project: Project) -> None:
    other = await given.stranger(db)
    for whose, key, began, ended, gpus in (
        (project, "key_a", 1000, 400, 2),  # 600 s on 2 GPUs
        (project, "key_a", 5000, 3300, 0),  # within the hour: 3600 − 3300 = 300 s
        (project, "key_b", 100, None, 1),  # it still runs: 100 s
        (other, "key_c", 9000, 4000, 8),  # before the hour
    ):
        job = await given.claimed(db, whose)
        await set_run(db, job, began, ended, gpus)
        await given.change(db, job, created_by=key, stored_bytes=10, trained_tokens=7)
        if ended is not None:
            async with db.snapshot() as session:
                now = await session.scalar(select(database_now())) or 0.0
            await given.change(db, job, status=JobStatus.SUCCEEDED, finished_at=now - ended)
    async with db.transaction() as session:
        await session.execute(update(File).values(created_by="key_a", bytes=100))
    async with db.snapshot() as session:
        now = await session.scalar(select(database_now())) or 0.0
        rows = {(row.project_id, row.key_id): row for row in await key_usage.by_key(session, None, now - 3600, now)}
        own = await key_usage.by_key(session, other.id, now - 3600, now)
    a = rows[project.id, "key_a"]
    assert (a.gpu_seconds, a.trained_tokens) == (pytest.approx(600 * 2 + 300, abs=5), 14)
    assert a.bytes == 2 * 10 + 3 * 100  # two jobs and the files of three
    b = rows[project.id, "key_b"]
    assert (b.gpu_seconds, b.trained_tokens, b.bytes) == (pytest.approx(100, abs=5), 0, 10)
    assert own == [KeyUsage(other.id, "key_a", bytes=100), KeyUsage(other.id, "key_c", bytes=10)]


def test_as_csv() -> None:
    rows = [KeyUsage("proj_x", "key_a", 1.5, 7, 100), KeyUsage("proj_x", None)]
    assert key_usage.to_csv(rows) == (
        "project_id,key_id,gpu_seconds,trained_tokens,bytes\nproj_x,key_a,1.5,7,100\nproj_x,,0.0,0,0\n"
    )
