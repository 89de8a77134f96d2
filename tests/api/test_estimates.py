"""Estimates over HTTP."""

from typing import Any

import pytest

from fettle.jobs import workers
from models import Job, JobStatus, Worker
from tests.api.tenants import Tenant, jsonl, message, refusal
from tests.fettle.estimates.test_estimate import MEASURED

ESTIMATE = "/v1/fine_tuning/estimate"
SUPERVISED = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 10}}}


async def estimated(tenant: Tenant, content: bytes = jsonl(40), **body: Any) -> Any:
    file = (await tenant.upload(content))["id"]
    answer = await tenant.http.post(ESTIMATE, json={"model": "starter", "training_file": file, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def announce(tenant: Tenant, memory: list[int | None]) -> None:
    async with tenant.db.transaction() as session:
        row = Worker(id="w", host="h", version="1", slots=["CPU"], memory=memory, base_models=[], stopping=False)
        await workers.announce(session, row)


async def ended(tenant: Tenant) -> None:
    job = await tenant.job()
    async with tenant.db.transaction() as session:
        row = await session.get_one(Job, job["id"])
        row.status, row.measured, row.finished_at = JobStatus.SUCCEEDED, MEASURED, 1.0


async def test_tokens_are_counted_as_a_job_would_train_on_them(tenant: Tenant) -> None:
    found = await estimated(tenant, method=SUPERVISED)
    assert (found["object"], found["steps"], found["tokens_from"]) == ("fine_tuning.estimate", 8, "sample")
    file = (await tenant.upload(jsonl(40)))["id"]
    seen = (await tenant.http.get(f"/v1/files/{file}/preview?model=starter")).json()
    assert found["tokens"] == 2 * seen["summary"]["tokens"] > 0
    assert found["sample"]["rows"] == 40 and found["sample"]["whole"] is True


async def test_no_job_is_made(tenant: Tenant) -> None:
    await estimated(tenant)
    assert (await tenant.http.get("/v1/fine_tuning/jobs")).json()["data"] == []


async def test_pairs_are_counted_with_both_responses(tenant: Tenant) -> None:
    rows = b"\n".join(b'{"prompt": "%d", "chosen": "yes yes", "rejected": "no"}' % n for n in range(12))
    found = await estimated(tenant, rows, method={"type": "dpo"})
    assert found["sample"]["items"] == found["sample"]["prompts"] == 12
    assert found["sample"]["tokens"] > 2 * found["sample"]["prompt_tokens"]


async def test_completions_are_counted_where_a_policy_samples_them(tenant: Tenant) -> None:
    asked = {"reward_functions": ["exact_match"], "hyperparameters": {"n_epochs": 1, "batch_size": 4, "group_size": 3}}
    found = await estimated(tenant, method={"type": "grpo", "grpo": asked})
    assert (found["steps"], found["phases"][0]["completions"]) == (10, 120)
    assert found["sample"]["prompts"] == 40


async def test_time_comes_from_what_jobs_took_here(tenant: Tenant) -> None:
    await ended(tenant)
    found = await estimated(tenant, method=SUPERVISED)
    assert "earlier job" in found["basis"]
    seconds = found["seconds"]
    assert seconds["low"] < seconds["likely"] < seconds["high"]
    assert seconds["likely"] == pytest.approx(2 + found["tokens"] / 100 + 3, abs=0.1)
    assert found["cost"] is None


async def test_memory_is_compared_with_the_smallest_slot(tenant: Tenant) -> None:
    await announce(tenant, [16 << 30])
    found = await estimated(tenant)
    assert found["queue"] == {"seconds": 0.0, "message": "A slot is free. The job would start at once."}
    assert found["memory"]["fits"] is True
    assert found["memory"]["bytes"] == sum(found["memory"]["parts"].values())
    await announce(tenant, [found["memory"]["bytes"] - 1])
    scarce = (await estimated(tenant))["memory"]
    assert scarce["fits"] is False and {"quantization", "lora.rank"} <= {knob["parameter"] for knob in scarce["knobs"]}
    assert "Set quantization to nf4 or" in scarce["message"]
    await announce(tenant, [1 << 20])
    hopeless = (await estimated(tenant))["memory"]
    assert (hopeless["fits"], hopeless["knobs"]) == (False, [])
    assert "No single setting makes it fit" in hopeless["message"]
    await announce(tenant, [None])
    unknown = (await estimated(tenant))["memory"]
    assert unknown["fits"] is None and "does not know how much its device has" in unknown["message"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("extra", "param"),
        [({"model": "gpt-9"}, "model"), ({"training_file": "file-none"}, "training_file"), ({"colour": 1}, "colour")],
    )
    async def test_what_a_job_would_be_refused_for_is_refused_here(
        self, tenant: Tenant, extra: dict[str, Any], param: str
    ) -> None:
        file = (await tenant.upload())["id"]
        answer = await tenant.http.post(ESTIMATE, json={"model": "starter", "training_file": file, **extra})
        assert refusal(answer)[2] == param

    async def test_another_tenants_file_is_none(self, tenant: Tenant, other: Tenant) -> None:
        theirs = (await other.upload())["id"]
        ours = (await tenant.upload())["id"]
        asked = {"model": "starter", "training_file": theirs}
        assert refusal(await tenant.http.post(ESTIMATE, json=asked)) == (400, "file_not_found", "training_file")
        asked = {"model": "starter", "training_file": ours, "validation_file": theirs}
        assert refusal(await tenant.http.post(ESTIMATE, json=asked)) == (400, "file_not_found", "validation_file")

    async def test_another_tenants_model_is_none(self, tenant: Tenant, other: Tenant, tmp_path: Any) -> None:
        theirs = await other.publish((await other.job())["id"], tmp_path)
        asked = {"model": theirs, "training_file": (await tenant.upload())["id"]}
        answer = await tenant.http.post(ESTIMATE, json=asked)
        assert refusal(answer)[:2] == (404, "model_not_found"), message(answer)

    async def test_nothing_of_another_tenants_jobs_is_told_but_their_speed(self, tenant: Tenant, other: Tenant) -> None:
        await ended(other)
        found = await estimated(tenant, method=SUPERVISED)
        assert other.project.id not in str(found) and other.project.name not in str(found)
