"""A service that was in use on revision 0001 goes on at the newest one: nothing lost, everything usable."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, inspect, text

from fettle import migrate
from fettle.datasets import files
from fettle.db import Database
from fettle.jobs import events, leases, lifecycle
from fettle.registry import tuned_models
from fettle.registry.catalog import BUILT_IN
from fettle.tenancy import api_keys, projects
from models import Job, JobStatus, Project
from tests.fettle import given

PEPPER = b"pepper"
KEY = api_keys.generate()
STATES = ("queued", "running", "succeeded", "failed", "cancelled")  # of 0001
METHOD = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3, "batch_size": 8}}}
NOW = 1_790_000_000.25
WHERE = {"project_id": "proj_a", "created_at": NOW}


def job_row(status: str) -> dict[str, Any]:
    running, ended = status == "running", status in ("succeeded", "failed", "cancelled")
    return {
        "id": f"ftjob-{status}",
        **WHERE,
        "base_model": "starter",
        "training_file": "file-data",
        "validation_file": "file-data" if running else None,
        "method": METHOD,
        "seed": 2**31 - 1,
        "suffix": "s" if ended else None,
        "labels": {"note": 'a "quoted" ü'} if running else None,
        "request_digest": f"digest of {status}",
        "status": status,
        "finished_at": NOW + 60 if ended else None,
        "estimated_finish": NOW + 70 if running else None,
        "error": {"code": "diverged", "message": "m", "param": None} if status == "failed" else None,
        "fine_tuned_model": "ft:starter:a::1" if status == "succeeded" else None,
        "trained_tokens": 2**40 if status == "succeeded" else None,
        "result_files": ["file-data"] if status == "succeeded" else [],
        "fence": 3 if running else 0,
        "owner": "host:1:0" if running else None,
        "lease_until": time.time() - 5 if running else None,
        "attempts": 1 if running else 0,
    }


FILLED: dict[str, list[dict[str, Any]]] = {  # parents first
    "projects": [{"id": "proj_a", "name": "a", "created_at": NOW}, {"id": "proj_b", "name": "b", "created_at": NOW}],
    "api_keys": [
        {"id": "key_1", **WHERE, "name": "live", "hint": KEY[:8], "digest": api_keys.digest(KEY, PEPPER),
         "revoked_at": None},
        {"id": "key_2", **WHERE, "name": "old", "hint": "fk_x", "digest": "d", "revoked_at": NOW + 1},
    ],
    "files": [
        {"id": "file-data", **WHERE, "purpose": "fine-tune", "filename": "ü.jsonl", "bytes": 2**40, "storage_key": "k",
         "status": "processed", "report": {"rows": 100, "summary": None}},
        {"id": "file-bad", **WHERE, "purpose": "fine-tune", "filename": "b", "bytes": 1, "storage_key": "k2",
         "status": "error", "report": {"rows": 0, "summary": "no rows"}},
    ],
    "jobs": [job_row(status) for status in STATES],
    "checkpoints": [
        {"id": "ftckpt_1", **WHERE, "job_id": "ftjob-running", "name": "ft:starter:a::1:ckpt-step-5", "step": 5,
         "metrics": {"step": 5, "train_loss": 0.5}, "prefix": "jobs/ftjob-running/3/checkpoints/step-000005"},
    ],
    "events": [
        {"seq": 7, "id": "ftevent-1", "job_id": "ftjob-running", "level": "info", "type": "metrics",
         "message": "Step 5", "data": {"step": 5, "train_loss": 0.5}, "created_at": NOW},
        {"seq": 9, "id": "ftevent-2", "job_id": "ftjob-failed", "level": "error", "type": "message", "message": "m",
         "data": None, "created_at": NOW},
    ],
    "idempotency_keys": [{**WHERE, "key": "k", "request_digest": "digest of queued", "job_id": "ftjob-queued"}],
    "tuned_models": [
        {"name": "ft:starter:a::1", **WHERE, "job_id": "ftjob-succeeded", "base_model": "starter", "prefix": "p"}
    ],
}  # fmt: skip


def fill(connection: Connection) -> None:
    """Every table of 0001, by plain SQL: the rows of today's models know too much."""
    command.upgrade(migrate.config(connection), "0001")
    assert set(FILLED) == set(inspect(connection).get_table_names()) - {"alembic_version"}
    for table, rows in FILLED.items():
        for row in rows:
            values = {name: as_stored(value) for name, value in row.items()}
            names = ", ".join(values)
            places = ", ".join(f":{name}" for name in values)
            connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({places})"), values)  # noqa: S608
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT setval(pg_get_serial_sequence('events', 'seq'), 9)"))


def as_stored(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value


def contents(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """Every table's columns of 0001, JSON read."""
    found = {}
    for table, rows in FILLED.items():
        kept = connection.execute(text(f"SELECT {', '.join(rows[0])} FROM {table}")).mappings().all()  # noqa: S608
        found[table] = [{name: as_read(value) for name, value in row.items()} for row in kept]
    return found


def as_read(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value[:1] in ("{", "[") else value


@pytest.fixture
async def used(empty_url: str) -> AsyncIterator[Database]:
    """In use since 0001, upgraded just now."""
    database = Database(empty_url)
    async with database.engine.begin() as connection:
        await connection.run_sync(fill)
    await migrate.upgrade(database)
    yield database
    await database.close()


def by_first(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: str(next(iter(row.values()))))


async def test_every_row_is_there_as_it_was(used: Database) -> None:
    async with used.engine.connect() as connection:
        found = await connection.run_sync(contents)
    for table, rows in FILLED.items():
        assert by_first(found[table]) == by_first(rows), table


async def test_every_foreign_key_still_holds_and_is_still_enforced(used: Database) -> None:
    async with used.engine.connect() as connection:
        targets = await connection.run_sync(
            lambda sync: {
                (table, key["constrained_columns"][0], key["referred_table"])
                for table in FILLED
                for key in inspect(sync).get_foreign_keys(table)
            }
        )
        if connection.dialect.name == "sqlite":
            assert (await connection.execute(text("PRAGMA foreign_key_check"))).all() == []
            assert (await connection.execute(text("PRAGMA foreign_keys"))).scalar_one() == 1
            assert (await connection.execute(text("PRAGMA integrity_check"))).scalar_one() == "ok"
    assert targets >= {
        ("api_keys", "project_id", "projects"),
        ("files", "project_id", "projects"),
        ("jobs", "project_id", "projects"),
        ("checkpoints", "job_id", "jobs"),
        ("events", "job_id", "jobs"),
        ("idempotency_keys", "job_id", "jobs"),
        ("tuned_models", "job_id", "jobs"),
    }
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        async with used.transaction() as session:
            events.add(session, "ftjob-none", "nobody's")


async def test_new_columns_hold_what_the_service_did_until_now(used: Database) -> None:
    async with used.snapshot() as session:
        for status in STATES:
            job = await session.get_one(Job, f"ftjob-{status}")
            assert (job.integrations, job.evaluation, job.pause_requested_at) == (None, None, None)
        assert (await session.get_one(Project, "proj_a")).quotas is None
        (live, _), (old, _) = await api_keys.everyone(session)
    assert [(row.scopes, row.expires_at) for row in (live, old)] == [(["all"], None)] * 2


async def test_keys_open_what_they_opened(used: Database) -> None:
    async with used.snapshot() as session:
        row = await api_keys.authenticate(session, KEY, PEPPER)
    assert row is not None and row.project_id == "proj_a"


async def test_the_service_goes_on_with_every_job(used: Database) -> None:
    async with used.transaction() as session:
        assert await leases.reclaim_expired(session, 3) == ["ftjob-running"]
    async with used.transaction() as session:
        cancelled = await lifecycle.cancel(session, "proj_a", "ftjob-running")
        assert (cancelled.status, cancelled.fence) == (JobStatus.CANCELLED, 5)
    claimed = await given.claim(used)
    assert claimed is not None and claimed.id == "ftjob-queued"
    async with used.snapshot() as session:
        rows, more = await lifecycle.newest(session, "proj_a", labels={"note": 'a "quoted" ü'}, after=None, limit=5)
        assert ([job.id for job in rows], more) == (["ftjob-running"], False)
        assert await events.metrics(session, "ftjob-running") == {5: {"train_loss": 0.5}}
        assert (await tuned_models.find(session, "proj_a", "ft:starter:a::1:ckpt-step-5")).created_at == NOW
        page, _ = await events.newest(session, "ftjob-running", after="ftevent-1", limit=5)
        assert page == []  # the cursor that a client kept from before


async def test_new_rows_come_after_the_old_ones(used: Database) -> None:
    async with used.transaction() as session:
        project = await projects.ensure(session, "a")
        assert project.id == "proj_a"
        file = await files.get(session, "proj_a", "file-data")
        job, created = await lifecycle.create(session, project, given.request(file, idempotency_key="new"), BUILT_IN)
        assert created
        await session.flush()
        (event,) = await events.since(session, job.id, 9)
    assert event.seq > 9
