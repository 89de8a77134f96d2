from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fettle.datasets import files
from fettle.datasets.formats.validation import validate
from fettle.db import Database
from fettle.jobs import leases
from fettle.registry import catalog
from fettle.settings import Settings
from fettle.storage import open_storage
from fettle.tenancy import projects
from models import Job, JobStatus
from tests.databases import upgraded
from worker.attempts.attempt import Attempt
from worker.attempts.resources import Resources

ROWS = b'{"prompt": "1 + 1 =", "completion": "2"}\n' * 10


@pytest.fixture
async def resources(settings: Settings) -> AsyncIterator[Resources]:
    """On SQLite and a local folder."""
    db = await upgraded(Database(settings.database))
    yield Resources(settings, db, open_storage(settings), catalog.load(None), threads=1)
    await db.close()


@pytest.fixture
async def job(resources: Resources, tmp_path: Path) -> Job:
    """Running, claimed by this worker, with its dataset in storage."""
    upload = tmp_path / "train.jsonl"
    upload.write_bytes(ROWS)
    async with resources.db.transaction() as session:
        project = await projects.ensure(session, "default")
    report = validate(upload, max_row_bytes=1 << 20)
    file = files.described(project.id, upload, "train.jsonl", report)
    await resources.storage.put_file(file.storage_key, upload)
    method = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1}}}
    async with resources.db.transaction() as session:
        session.add(file)
        session.add(
            Job(
                id="ftjob-0123456789abcdef",
                project_id=project.id,
                base_model="starter",
                training_file=file.id,
                method=method,
                seed=1,
                suffix="s",
                request_digest="",
                status=JobStatus.QUEUED,
            )
        )
    async with resources.db.transaction() as session:
        claimed = await leases.claim(session, "this worker", 60)
        assert claimed is not None
        return claimed


@pytest.fixture
def attempt(resources: Resources, job: Job) -> Attempt:
    return Attempt(resources, job)
