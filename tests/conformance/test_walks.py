"""The unmodified openai SDK, with its own HTTP client, against the application behind a real uvicorn."""

from pathlib import Path
from typing import Any

import httpx
import openai
import orjson
import pytest
from fastapi.responses import JSONResponse
from openai import OpenAI
from openai.types import FileDeleted, FileObject, Model, ModelDeleted
from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent
from openai.types.fine_tuning.jobs import FineTuningJobCheckpoint

from tests.api.served import Wire
from tests.api.stub_engine import StubEngine
from tests.api.tenants import ADAPTER, Tenant, jsonl
from tests.conformance.conftest import SLASHED
from tests.conformance.objects import OBJECTS

pytestmark = pytest.mark.slow  # starts a server for the SDK

MESSAGES: Any = [{"role": "user", "content": "2 + 2 ="}]


def upload(client: OpenAI, content: bytes = jsonl(12)) -> FileObject:
    return client.files.create(file=("sums.jsonl", content), purpose="fine-tune")


def create(client: OpenAI, **changed: Any) -> FineTuningJob:
    return client.fine_tuning.jobs.create(**{"model": "starter", "training_file": upload(client).id, **changed})


class TestFiles:
    async def test_upload_wait_retrieve_content_delete(self, client: OpenAI) -> None:
        file = upload(client)
        assert client.files.wait_for_processing(file.id, poll_interval=0.01).status == "processed"
        assert client.files.retrieve(file.id) == file
        assert client.files.content(file.id).read() == jsonl(12)
        assert client.files.delete(file.id).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(file.id)

    async def test_a_path_and_bare_bytes_are_files_too(self, client: OpenAI, tmp_path: Path) -> None:
        (path := tmp_path / "Zähler.jsonl").write_bytes(jsonl(12))
        assert client.files.create(file=path, purpose="fine-tune").filename == "Zähler.jsonl"
        assert client.files.create(file=jsonl(12), purpose="fine-tune").status == "processed"

    async def test_the_list_pages_by_itself(self, client: OpenAI, wire: Wire) -> None:
        made = [upload(client).id for _ in range(5)]
        assert [file.id for file in client.files.list(limit=2)] == made[::-1]
        assert [file.id for file in client.files.list(limit=2, order="asc", purpose="fine-tune")] == made
        assert wire.requests["GET /v1/files"] == 6

    async def test_a_bad_dataset_says_what_to_mend(self, client: OpenAI) -> None:
        file = upload(client, b'{"prompt": "p", "completion": null}')
        assert file.status == "error"
        assert file.status_details and file.status_details.startswith("Line 1")
        with pytest.raises(openai.BadRequestError) as caught:
            create(client, training_file=file.id)
        assert (caught.value.code, caught.value.param) == ("invalid_training_file", "training_file")
        assert "Line 1" in caught.value.message

    async def test_an_expiry_is_kept_and_a_short_one_refused(self, client: OpenAI) -> None:
        def expiring(seconds: int) -> FileObject:
            life: Any = {"anchor": "created_at", "seconds": seconds}
            return client.files.create(file=jsonl(12), purpose="user_data", expires_after=life)

        file = expiring(3600)
        assert file.expires_at is not None and 3599 <= file.expires_at - file.created_at <= 3660
        with pytest.raises(openai.BadRequestError) as caught:
            expiring(60)
        assert caught.value.param == "expires_after[seconds]"

    async def test_a_file_in_use_is_a_conflict_and_asked_once(self, client: OpenAI, wire: Wire) -> None:
        job = create(client)
        with pytest.raises(openai.ConflictError) as caught:
            client.files.delete(job.training_file)
        assert caught.value.code == "file_in_use"
        assert wire.requests[f"DELETE /v1/files/{job.training_file}"] == 1

    async def test_a_file_that_is_too_large_is_413_and_not_a_broken_connection(
        self, client: OpenAI, wire: Wire
    ) -> None:
        with pytest.raises(openai.APIStatusError) as caught:
            upload(client, b"x" * (8 << 20))
        assert (caught.value.status_code, caught.value.code) == (413, "request_too_large")
        assert wire.requests["POST /v1/files"] == 1


class TestJobs:
    async def test_create_list_retrieve_cancel(self, client: OpenAI) -> None:
        jobs = [
            create(
                client, suffix=f"s{n}", seed=n, metadata={"n": str(n), "team": "blue"}, method={"type": "supervised"}
            )
            for n in range(3)
        ]
        assert jobs[0].status == "queued"
        assert [job.id for job in client.fine_tuning.jobs.list(limit=1)] == [job.id for job in reversed(jobs)]
        assert [job.id for job in client.fine_tuning.jobs.list(metadata={"n": "1", "team": "blue"})] == [jobs[1].id]
        assert client.fine_tuning.jobs.retrieve(jobs[0].id) == jobs[0]
        assert client.fine_tuning.jobs.cancel(jobs[0].id).status == "cancelled"

    async def test_cancelling_twice_is_a_conflict_and_asked_once(self, client: OpenAI, wire: Wire) -> None:
        job = create(client)
        client.fine_tuning.jobs.cancel(job.id)
        with pytest.raises(openai.ConflictError) as caught:
            client.fine_tuning.jobs.cancel(job.id)
        assert caught.value.code == "job_not_active"
        assert wire.requests[f"POST /v1/fine_tuning/jobs/{job.id}/cancel"] == 2

    async def test_our_own_hyperparameters_pass_the_sdk(self, client: OpenAI) -> None:
        asked: Any = {"n_epochs": 1, "learning_rate": 1e-4, "lora": {"rank": 8}}
        job = create(client, method={"type": "supervised", "supervised": {"hyperparameters": asked}})
        assert job.method and job.method.supervised and job.method.supervised.hyperparameters
        used = job.method.supervised.hyperparameters.model_dump()
        assert (used["n_epochs"], used["learning_rate"], used["lora"]["rank"]) == (1, 1e-4, 8)

    async def test_an_answer_that_is_lost_makes_no_second_job(self, client: OpenAI, wire: Wire) -> None:
        file = upload(client)
        wire.lose_next = True
        job = client.fine_tuning.jobs.create(model="starter", training_file=file.id)
        assert wire.requests["POST /v1/fine_tuning/jobs"] == 2
        assert [listed.id for listed in client.fine_tuning.jobs.list()] == [job.id]

    async def test_events_and_checkpoints_page_by_themselves(self, client: OpenAI, tenant: Tenant) -> None:
        job = create(client)
        for step in (1, 2, 3):
            await tenant.log(job.id, f"Step {step}", type="metrics", data={"step": step})
            await tenant.checkpoint(job.id, step, train_loss=0.5)
        events = list(client.fine_tuning.jobs.list_events(job.id, limit=2))
        assert [event.message for event in events[:3]] == ["Step 3", "Step 2", "Step 1"]
        checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id, limit=2))
        assert [checkpoint.step_number for checkpoint in checkpoints] == [3, 2, 1]
        assert checkpoints[0].metrics.train_loss == 0.5

    async def test_a_stream_tells_events_while_the_job_lives(
        self, client: OpenAI, server: tuple[Wire, str], tenant: Tenant, key: str
    ) -> None:
        job = create(client)
        url = f"{server[1]}/v1/fine_tuning/jobs/{job.id}/events?stream=true"
        with httpx.stream("GET", url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as response:
            lines = (line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: "))
            assert orjson.loads(next(lines))["message"].startswith("Created")
            await tenant.log(job.id, "Step 1")
            assert orjson.loads(next(lines))["message"] == "Step 1"
            client.fine_tuning.jobs.cancel(job.id)
            assert orjson.loads(next(lines))["message"] == "Fine-tuning job cancelled"
            assert list(lines) == ["[DONE]"]


class TestModels:
    async def test_list_retrieve_chat_delete(
        self, client: OpenAI, tenant: Tenant, engine: tuple[StubEngine, str], tmp_path: Path
    ) -> None:
        name = await tenant.publish(create(client, suffix="a").id, tmp_path)
        assert [model.id for model in client.models.list()] == ["starter", SLASHED, name]
        assert client.models.retrieve(name).owned_by == tenant.project.id
        assert client.chat.completions.create(model=name, messages=MESSAGES).choices[0].message.content == "4"
        stream = client.chat.completions.create(model=name, messages=MESSAGES, stream=True)
        assert [chunk.choices[0].delta.content for chunk in stream] == ["4", None]
        assert client.models.delete(name).deleted
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model=name, messages=MESSAGES)

    async def test_an_engine_that_cannot_load_is_asked_again(
        self, client: OpenAI, tenant: Tenant, engine: tuple[StubEngine, str], wire: Wire, tmp_path: Path
    ) -> None:
        name = await tenant.publish(create(client).id, tmp_path)
        engine[0].load_answer = JSONResponse({"error": {"message": "busy"}}, 500)
        with pytest.raises(openai.InternalServerError) as caught:
            client.with_options(max_retries=1).chat.completions.create(model=name, messages=MESSAGES)
        engine[0].load_answer = None
        assert (caught.value.status_code, caught.value.code) == (503, "service_unavailable")
        assert wire.requests["POST /v1/chat/completions"] == 2


class TestErrors:
    async def test_a_wrong_key_is_an_authentication_error_even_for_a_large_upload(
        self, client: OpenAI, wire: Wire
    ) -> None:
        stranger = client.with_options(api_key="fk_wrong")
        with pytest.raises(openai.AuthenticationError) as caught:
            stranger.models.list()
        assert (caught.value.code, caught.value.type) == ("invalid_api_key", "invalid_request_error")
        with pytest.raises(openai.AuthenticationError):
            upload(stranger, b"x" * (8 << 20))
        assert wire.requests["POST /v1/files"] == 1

    async def test_what_is_not_there_is_a_not_found_error(self, client: OpenAI) -> None:
        for call, code in (
            (lambda: client.fine_tuning.jobs.retrieve("ftjob-none"), "not_found"),
            (lambda: client.files.content("file-none"), "not_found"),
            (lambda: client.models.retrieve("Qwen/Qwen3-0.6B"), "model_not_found"),
            (lambda: client.fine_tuning.jobs.pause("ftjob-none"), "not_found"),
        ):
            with pytest.raises(openai.NotFoundError) as caught:
                call()
            assert caught.value.code == code
            assert caught.value.request_id and caught.value.request_id.startswith("req_")

    async def test_what_is_wrong_is_a_bad_request_with_code_and_param(self, client: OpenAI, wire: Wire) -> None:
        wrong: Any = {"type": "supervised", "supervised": {"hyperparameters": {"foo": 1}}}
        with pytest.raises(openai.BadRequestError) as caught:
            create(client, method=wrong)
        assert caught.value.code == "unknown_parameter"
        assert caught.value.param == "method.supervised.hyperparameters.foo"
        assert caught.value.type == "invalid_request_error"
        assert wire.requests["POST /v1/fine_tuning/jobs"] == 1


class TestTypes:
    """Every answer passes the SDK's own types, strictly; the SDK itself would let anything through."""

    async def test_they_hold(self, client: OpenAI, tenant: Tenant, tmp_path: Path) -> None:
        job = create(client, metadata={"a": "b"})
        await tenant.log(job.id, "Step 1", type="metrics", data={"step": 1})
        await tenant.checkpoint(job.id, 1, train_loss=0.5)
        jobs, name = client.fine_tuning.jobs.with_raw_response, await tenant.publish(job.id, tmp_path, ADAPTER)
        once = upload(client).id
        for kind, raw in (
            (FileObject, client.files.with_raw_response.retrieve(job.training_file)),
            (FileObject, client.files.with_raw_response.list()),
            (FileDeleted, client.files.with_raw_response.delete(once)),
            (FineTuningJob, jobs.retrieve(job.id)),
            (FineTuningJob, jobs.list()),
            (FineTuningJobEvent, jobs.list_events(job.id)),
            (FineTuningJobCheckpoint, client.fine_tuning.jobs.checkpoints.with_raw_response.list(job.id)),
            (Model, client.models.with_raw_response.list()),
            (Model, client.models.with_raw_response.retrieve(name)),
            (ModelDeleted, client.models.with_raw_response.delete(name)),
        ):
            body = orjson.loads(raw.content)
            for item in body.get("data", [body]):
                kind.model_validate(item, strict=True)
                assert (kind, (*item,)) in OBJECTS.values()  # no field more or less than the page says
                (name,) = [name for name, known in OBJECTS.items() if known == (kind, (*item,))]
                for field, inner in item.items():
                    if f"{name}, {field}" in OBJECTS and inner is not None:
                        assert (*inner,) == OBJECTS[f"{name}, {field}"][1], field
