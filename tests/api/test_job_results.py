import csv
import io
import zipfile
from pathlib import Path

import pytest

from fettle.datasets import files
from fettle.storage import artifacts
from models import Job, JobStatus
from tests.api.tenants import ADAPTER, Tenant, message, refusal

JOBS = "/v1/fine_tuning/jobs"


class TestAdapter:
    async def test_the_zip_holds_the_published_files_byte_for_byte(self, tenant: Tenant, tmp_path: Path) -> None:
        job = await tenant.job()
        await tenant.publish(job["id"], tmp_path)
        answer = await tenant.http.get(f"{JOBS}/{job['id']}/adapter")
        assert answer.headers["content-type"] == "application/zip"
        assert answer.headers["content-disposition"] == f'attachment; filename="{job["id"]}.zip"'
        archive = zipfile.ZipFile(io.BytesIO(answer.content))
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == ADAPTER

    @pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.FAILED, JobStatus.CANCELLED])
    async def test_only_a_job_that_succeeded_has_one(self, tenant: Tenant, status: JobStatus) -> None:
        job = await tenant.job()
        await tenant.end(job["id"], status)
        answer = await tenant.http.get(f"{JOBS}/{job['id']}/adapter")
        assert refusal(answer)[:2] == (404, "not_found")
        assert f"is {status}" in message(answer)


class TestEvaluation:
    async def test_it_is_what_the_worker_left(self, tenant: Tenant) -> None:
        job = await tenant.job()
        found = {"step": 4, "base": {"loss": 2.0}, "tuned": {"loss": 1.0}, "samples": []}
        async with tenant.db.transaction() as session:
            (await session.get_one(Job, job["id"])).evaluation = found
        answer = await tenant.http.get(f"{JOBS}/{job['id']}/evaluation")
        expected = {"object": "fine_tuning.job.evaluation", "fine_tuning_job_id": job["id"], **found}
        assert answer.json() == expected

    @pytest.mark.parametrize(
        ("validation", "status", "why"),
        [
            (False, JobStatus.SUCCEEDED, "was created without a validation_file"),
            (True, JobStatus.RUNNING, "is running: the evaluation follows at the end of training"),
            (True, JobStatus.FAILED, "is failed and has no evaluation"),
        ],
    )
    async def test_before_that_the_answer_says_whether_to_wait(
        self, tenant: Tenant, validation: bool, status: JobStatus, why: str
    ) -> None:
        job = await tenant.job(**{"validation_file": (await tenant.upload())["id"]} if validation else {})
        await tenant.end(job["id"], status)
        answer = await tenant.http.get(f"{JOBS}/{job['id']}/evaluation")
        assert refusal(answer)[:2] == (404, "evaluation_not_found")
        assert why in message(answer)


class TestResultFiles:
    async def test_the_metrics_csv_is_a_file_like_any_other(self, tenant: Tenant) -> None:
        table = b"step,train_loss\r\n1,2.5\r\n"
        file = files.new(tenant.project.id, "ftjob-x-metrics.csv", files.RESULTS, len(table))
        await artifacts.put_bytes(tenant.storage, file.storage_key, table)
        async with tenant.db.transaction() as session:
            session.add(file)
        (listed,) = (await tenant.http.get("/v1/files?purpose=fine-tune-results")).json()["data"]
        assert (listed["id"], listed["bytes"], listed["status"]) == (file.id, len(table), "processed")
        answer = await tenant.http.get(f"/v1/files/{file.id}/content")
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert list(csv.DictReader(io.StringIO(answer.text))) == [{"step": "1", "train_loss": "2.5"}]

    async def test_it_is_no_dataset(self, tenant: Tenant) -> None:
        file = files.new(tenant.project.id, "ftjob-x-metrics.csv", files.RESULTS, 0)
        async with tenant.db.transaction() as session:
            session.add(file)
        answer = await tenant.create(training_file=file.id)
        assert refusal(answer) == (400, "invalid_value", "training_file")
        assert "'fine-tune-results'" in message(answer)
