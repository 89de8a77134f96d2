"""Evals by the unmodified SDK, run by a worker in a thread of its own."""

import time
from typing import Any

from openai import OpenAI

from fettle.settings import Settings
from tests.conformance.working import working
from tests.conftest import Api
from worker.background import evals

SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
CHECK: Any = {"type": "string_check", "name": "right", "operation": "ilike", "input": "{{sample.output_text}}"}


def test_an_eval_is_run_over_a_file_and_read_item_by_item(client: OpenAI, api: Api, settings: Settings) -> None:
    task = client.evals.create(
        name="sums",
        data_source_config={"type": "custom", "item_schema": SCHEMA, "include_sample_schema": True},
        testing_criteria=[{**CHECK, "reference": "{{item.answer}}"}],
    )
    line = b'{"item": {"answer": "5"}, "sample": {"output_text": "It is %d."}}'
    file = client.files.create(file=("rows.jsonl", line % 5 + b"\n" + line % 6), purpose="evals")
    source: Any = {"type": "jsonl", "source": {"type": "file_id", "id": file.id}}
    first, second = (client.evals.runs.create(task.id, name="given", data_source=source) for _ in range(2))
    assert client.evals.runs.cancel(second.id, eval_id=task.id).status == "canceled"
    with working(api, settings, evals.serve):
        deadline = time.monotonic() + 120
        while (run := client.evals.runs.retrieve(first.id, eval_id=task.id)).status != "completed":
            assert run.status in ("queued", "in_progress") and time.monotonic() < deadline
            time.sleep(0.05)
    assert (run.result_counts.total, run.result_counts.passed, run.result_counts.failed) == (2, 1, 1)
    items = list(client.evals.runs.output_items.list(run.id, eval_id=task.id, limit=1))
    assert [item.status for item in items] == ["pass", "fail"]
    assert items[0].results[0].passed and items[1].datasource_item == {"answer": "5"}
    failed = client.evals.runs.output_items.list(run.id, eval_id=task.id, status="fail").data
    assert [item.id for item in failed] == [items[1].id]
    assert {each.id for each in client.evals.runs.list(task.id)} == {first.id, second.id}
    assert client.evals.runs.delete(run.id, eval_id=task.id).deleted
    assert client.evals.update(task.id, name="new").name == "new"
    assert client.evals.delete(task.id).deleted
    assert client.evals.list().data == []
