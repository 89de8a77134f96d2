"""Estimates from the rows of earlier jobs."""

from typing import Any

import pytest

from fettle.db import Database
from fettle.estimates import estimate, measurements
from fettle.estimates.amounts import Rows
from fettle.registry.catalog import BUILT_IN
from models import JobStatus, Project
from tests.fettle import given
from tests.fettle.estimates.test_amounts import resolved

ROWS = Rows(rows=100, items=1.0, tokens=50.0, prompts=1.0, prompt_tokens=20.0, counted=True)
PHASE = {"name": "supervised", "steps": 5, "tokens": 1000, "completions": None, "seconds": 10.0}
MEASURED: dict[str, Any] = {
    "whole": True, "setup_seconds": 2.0, "other_seconds": 3.0, "validated_rows": 0, "phases": [PHASE],
    "tokens_per_byte": 0.5, "seconds": 15.0,
}  # fmt: skip


async def made(db: Database, validation_rows: int = 0) -> estimate.Estimate:
    async with db.snapshot() as session:
        method = resolved("supervised", n_epochs=2, batch_size=10)
        earlier = await measurements.earlier(session, "starter")
    return estimate.make(earlier, "starter", method, ROWS, BUILT_IN, validation_rows)


async def test_it_goes_by_jobs_that_succeeded_undisturbed(db: Database, project: Project) -> None:
    assert (await made(db)).time.seconds is None
    await given.job(db, project, status=JobStatus.SUCCEEDED, measured={**MEASURED, "whole": False})
    await given.job(db, project, status=JobStatus.FAILED, measured=MEASURED)
    assert (await made(db)).time.seconds is None
    await given.job(db, project, status=JobStatus.SUCCEEDED, measured=MEASURED)
    found = await made(db)
    assert (found.steps, found.tokens) == (20, 10_000)
    assert found.time.seconds is not None and found.time.seconds.likely == pytest.approx(2 + 100 + 3)


async def test_a_new_job_shows_what_it_is_foreseen_to_take(db: Database, project: Project) -> None:
    await given.job(db, project, status=JobStatus.SUCCEEDED, measured=MEASURED)
    job = await given.job(db, project)
    assert job.estimate is not None and job.estimate["tokens_from"] == "file_size"
    hyperparameters = job.method["supervised"]["hyperparameters"]
    tokens = 1000 * 0.5 * hyperparameters["n_epochs"]  # the file has 1,000 bytes
    assert job.estimate["tokens"] == tokens
    assert job.estimate["seconds"]["likely"] == pytest.approx(2 + tokens / 100 + 3, abs=0.1)


async def test_a_claimed_job_is_expected_to_end_when_its_estimate_says(db: Database, project: Project) -> None:
    await given.job(db, project, status=JobStatus.SUCCEEDED, measured=MEASURED)
    made = await given.job(db, project)
    found = await given.claim(db)
    assert found is not None and found.id == made.id and found.estimated_finish is not None
    assert made.estimate is not None and found.estimated_finish > found.created_at + made.estimate["seconds"]["low"]


def test_validation_is_looked_at_every_epoch_or_interval() -> None:
    assert estimate.evaluations(resolved("supervised", n_epochs=3), 30) == 3
    assert estimate.evaluations(resolved("supervised", n_epochs=3, eval_interval=7), 30) == 4


def test_cost_is_hours_times_gpus_times_price() -> None:
    assert estimate.cost(1800, (2.5, "EUR"), 4) == {"amount": 5.0, "currency": "EUR"}
    assert estimate.cost(3600, (2.5, ""), 0) == {"amount": 2.5, "currency": ""}  # a CPU slot
