"""Reports over HTTP."""

from pathlib import Path
from typing import Any

import pytest

from fettle.reports import html
from models import Job, JobStatus
from tests.api.tenants import Tenant, message, refusal
from tests.fettle.estimates.test_estimate import MEASURED


async def ended(tenant: Tenant, folder: Path, **body: Any) -> str:
    """A job that succeeded, with steps, a checkpoint and an adapter in storage."""
    job = await tenant.job(**body)
    for step in (1, 2):
        data = {"step": step, "total_steps": 2, "train_loss": 1.0 / step}
        await tenant.log(job["id"], f"Step {step}/2", type="metrics", data=data)
    await tenant.log(job["id"], "The learning rate is <b>high</b>", level="warn")
    await tenant.publish(job["id"], folder)
    return str(job["id"])


async def report(tenant: Tenant, job_id: str, **query: str) -> Any:
    return await tenant.http.get(f"/v1/fine_tuning/jobs/{job_id}/report", params=query)


async def test_html_is_one_file_that_runs_nothing(tenant: Tenant, tmp_path: Path) -> None:
    job_id = await ended(tenant, tmp_path, metadata={"team": "<img src=x onerror=alert(1)>"})
    answer = await report(tenant, job_id)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == f"{html.POLICY}; sandbox"
    assert answer.headers["content-disposition"] == f'inline; filename="{job_id}.html"'
    text = answer.text
    assert "<img" not in text and "&lt;img src=x" in text
    assert "The learning rate is &lt;b&gt;high" in text
    assert "<polyline" in text and "adapter_model.safetensors" in text and "sums.jsonl" in text


async def test_markdown_has_the_same(tenant: Tenant, tmp_path: Path) -> None:
    job_id = await ended(tenant, tmp_path)
    answer = await report(tenant, job_id, format="markdown")
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    text = answer.text.replace("\\", "")
    assert text.startswith("# Fine-tuning report\n")
    assert "adapter_model.safetensors" in text and "sums.jsonl" in text


async def test_what_was_foreseen_stands_beside_what_happened(tenant: Tenant, tmp_path: Path) -> None:
    job_id = await ended(tenant, tmp_path)
    took = {"queue_seconds": 1.0, "device": "CPU", "steps": 5, "tokens": 1000, "peak_memory_bytes": None}
    async with tenant.db.transaction() as session:
        job = await session.get_one(Job, job_id)
        job.measured = {**MEASURED, **took, "seconds": 61.5}
        job.estimate = {"steps": 6, "tokens": 900, "seconds": {"likely": 50.0, "low": 40.0, "high": 75.0}, "basis": "."}
    text = (await report(tenant, job_id)).text
    assert "61.5 s" in text and "50.0 s (40.0 s to 75.0 s)" in text


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED], ids=str)
async def test_a_job_that_ended_badly_has_one(tenant: Tenant, status: JobStatus) -> None:
    job = await tenant.job()
    await tenant.end(job["id"], status)
    answer = await report(tenant, job["id"])
    assert answer.status_code == 200 and f">{status}<" in answer.text


async def test_a_job_that_has_not_ended_has_none(tenant: Tenant) -> None:
    answer = await report(tenant, (await tenant.job())["id"])
    assert refusal(answer) == (409, "job_not_ended", None)
    assert "A job has a report when it has ended." in message(answer)


async def test_its_adapter_may_have_been_deleted(tenant: Tenant, tmp_path: Path) -> None:
    job_id = await ended(tenant, tmp_path)
    job = (await tenant.http.get(f"/v1/fine_tuning/jobs/{job_id}")).json()
    await tenant.http.delete(f"/v1/models/{job['fine_tuned_model']}")
    await tenant.http.delete(f"/v1/files/{job['training_file']}")
    text = (await report(tenant, job_id)).text
    assert "adapter_model.safetensors" not in text and "deleted" in text


async def test_other_formats_are_refused(tenant: Tenant) -> None:
    answer = await report(tenant, (await tenant.job())["id"], format="pdf")
    assert refusal(answer)[::2] == (400, "format")
