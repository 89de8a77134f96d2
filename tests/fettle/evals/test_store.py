"""Runs are taken up once, on SQLite and on PostgreSQL."""

from typing import Any

import pytest

from fettle.db import Database
from fettle.errors import Fenced
from fettle.evals import store
from fettle.evals.outcomes import Outcome
from fettle.tenancy import projects
from models import EvalRun, EvalRunStatus

CHECK: dict[str, Any] = {"name": "right", "type": "string_check"}


async def run(db: Database) -> EvalRun:
    source = {"type": "file_content", "content": [{"item": {}}, {"item": {}}]}
    async with db.transaction() as session:
        project = await projects.ensure(session, "default")
        of = await store.create(
            session, project.id, name="", labels=None, data_source_config={}, testing_criteria=[CHECK]
        )
        data: dict[str, Any] = {"asked": {"source": source}}
        return await store.add_run(
            session, project.id, of.id, name="", labels=None, data_source=data, model="starter", servables={}
        )


async def test_a_run_has_one_worker_until_its_lease_ends(db: Database) -> None:
    made = await run(db)
    async with db.transaction() as session:
        assert (await store.claim(session, "one", 0.0) or made).status == EvalRunStatus.IN_PROGRESS
    async with db.transaction() as session:
        assert await store.claim(session, "two", 60.0) is not None  # the first one's lease was over
        assert await store.claim(session, "three", 60.0) is None
    outcomes = [
        Outcome(number, status, {}, {}, [{**CHECK, "passed": status == "pass"}], {"prompt_tokens": 3})
        for number, status in enumerate(("pass", "fail"))
    ]
    with pytest.raises(Fenced):
        async with db.transaction() as session:
            await store.record(session, made.id, "one", 2, outcomes)
    async with db.transaction() as session:
        await store.record(session, made.id, "two", 2, outcomes)
        assert await store.done(session, made.id) == {0, 1}
    async with db.transaction() as session:
        await store.conclude(session, made.id, "two", EvalRunStatus.COMPLETED)
    async with db.snapshot() as session:
        done = await session.get_one(EvalRun, made.id)
    assert (done.passed, done.failed, done.by_criterion, done.prompt_tokens) == (1, 1, {"right": [1, 1]}, 6)
