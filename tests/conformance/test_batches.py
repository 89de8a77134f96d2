"""Batches by the unmodified SDK, answered by a worker in a thread of its own."""

import json
import time
from collections.abc import Iterator

import openai
import pytest
from openai import OpenAI
from openai.types import Batch

from fettle.settings import Settings
from tests.api.tenants import request
from tests.conformance.working import working
from tests.conftest import Api
from worker.background import batches

pytestmark = pytest.mark.slow  # starts a server for the SDK

ENDED = ("completed", "failed", "expired", "cancelled")


@pytest.fixture
def worker(api: Api, settings: Settings) -> Iterator[None]:
    with working(api, settings, batches.serve):
        yield


def create(client: OpenAI, *ids: str) -> Batch:
    content = "\n".join(json.dumps(request(custom_id)) for custom_id in ids).encode()
    file = client.files.create(file=("requests.jsonl", content), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"k": "v"}
    )


def ended(client: OpenAI, batch_id: str) -> Batch:
    deadline = time.monotonic() + 120
    while (batch := client.batches.retrieve(batch_id)).status not in ENDED:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return batch


@pytest.mark.usefixtures("worker")
def test_create_poll_and_read_the_output(client: OpenAI) -> None:
    batch = create(client, "a", "b", "c")
    assert (batch.status, batch.metadata) == ("validating", {"k": "v"})
    done = ended(client, batch.id)
    assert done.status == "completed" and done.request_counts and done.request_counts.completed == 3
    assert done.output_file_id and done.usage and done.usage.total_tokens == 27
    lines = [json.loads(line) for line in client.files.content(done.output_file_id).text.splitlines()]
    assert {line["custom_id"] for line in lines} == {"a", "b", "c"}
    assert {line["response"]["status_code"] for line in lines} == {200}


@pytest.mark.usefixtures("worker")
def test_a_bad_line_is_named(client: OpenAI) -> None:
    done = ended(client, create(client, "a", "a").id)
    assert done.status == "failed" and done.errors and done.errors.data
    assert (done.errors.data[0].line, done.errors.data[0].code) == (2, "duplicate_custom_id")


def test_cancel_list_and_what_is_refused(client: OpenAI) -> None:
    made = [create(client, "a").id for _ in range(3)]
    assert [batch.id for batch in client.batches.list(limit=1)] == made[::-1]
    assert client.batches.cancel(made[0]).status == "cancelling"
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_none")
    file = client.files.create(file=b"{}", purpose="user_data").id
    with pytest.raises(openai.BadRequestError) as caught:
        client.batches.create(input_file_id=file, endpoint="/v1/responses", completion_window="24h")
    assert caught.value.param == "input_file_id"
    with pytest.raises(openai.BadRequestError) as caught:
        client.batches.create(input_file_id=file, endpoint="/v1/embeddings", completion_window="24h")
    assert caught.value.param == "endpoint"
    used = client.batches.retrieve(made[1]).input_file_id
    with pytest.raises(openai.ConflictError) as conflict:
        client.files.delete(used)
    assert conflict.value.code == "file_in_use"
