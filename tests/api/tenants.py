"""A running application, and tenants with the steps that most tests begin with."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
from sqlalchemy import select

from api.app import create_app
from fettle import ids
from fettle.comparisons.votes import Ballot
from fettle.db import Database
from fettle.evals import store as evals
from fettle.evals.outcomes import Outcome
from fettle.inference import stored_completions, stored_responses
from fettle.jobs import events, lifecycle
from fettle.registry import tuned_models
from fettle.settings import Settings
from fettle.storage import artifacts
from fettle.tenancy import quotas
from fettle.webhooks import events as events_of_webhooks
from fettle.webhooks import store as webhooks
from models import Checkpoint, EvalItem, EvalRun, Job, JobStatus, Project, TunedModel
from tests.conftest import Api
from tests.databases import upgraded
from tests.fettle.comparisons import samples

ADAPTER = {"adapter_config.json": b'{"r": 16}', "adapter_model.safetensors": bytes(range(256)) * 5000}


def jsonl(rows: int) -> bytes:
    return "\n".join(json.dumps({"prompt": f"{n} + 1 =", "completion": str(n + 1)}) for n in range(rows)).encode()


def request(custom_id: str, url: str = "/v1/chat/completions", **body: Any) -> dict[str, Any]:
    """A line of a batch's input file."""
    asked = body or {"model": "starter", "messages": [{"role": "user", "content": custom_id}]}
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": asked}


def settings_in(folder: Path, **changed: Any) -> Settings:
    """Embedded defaults; nothing listens where Redis and the engine should be, and streams look often."""
    away = {"redis_url": "redis://127.0.0.1:1/0", "engine_url": "http://127.0.0.1:1", "event_poll_seconds": 0.02}
    return Settings(data=folder, **{**away, **changed})


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Api]:
    database = await upgraded(Database(settings.database))
    await database.close()
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield Api(app)


class Tenant:
    """A project with one key, spoken for by `http`."""

    def __init__(self, api: Api, project: Project, http: httpx.AsyncClient) -> None:
        self.api, self.db, self.storage = api, api.app.state.db, api.app.state.storage
        self.project, self.http = project, http

    async def key(self, *granted: str, **key: Any) -> httpx.AsyncClient:
        """Another key of this project, with these scopes."""
        return await self.api.client(self.project.name, *granted, **key)

    async def quota(self, **limits: int | None) -> None:
        async with self.db.transaction() as session:
            quotas.change(await session.get_one(Project, self.project.id), limits, [])

    async def send_file(self, content: bytes, filename: str = "sums.jsonl", **fields: str) -> httpx.Response:
        form = {"purpose": "fine-tune", **fields}
        return await self.http.post("/v1/files", files={"file": (filename, content)}, data=form)

    async def upload(self, content: bytes = jsonl(12), filename: str = "sums.jsonl") -> Any:
        answer = await self.send_file(content, filename)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def upload_in_parts(self, size: int, **changed: Any) -> Any:
        """One that has no part yet."""
        body = {"bytes": size, "filename": "sums.jsonl", "mime_type": "application/jsonl", "purpose": "fine-tune"}
        answer = await self.http.post("/v1/uploads", json=body | changed)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def batch(self, *rows: dict[str, Any], **changed: Any) -> Any:
        """One of chats that no worker has seen yet."""
        content = b"\n".join(map(orjson.dumps, rows or (request("a"),)))
        file = (await self.send_file(content, "requests.jsonl", purpose="batch")).json()
        body = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h", **changed}
        answer = await self.http.post("/v1/batches", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def create(self, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
        """Asks for a job on the starter and a fresh dataset, unless the body says otherwise."""
        if "training_file" not in body:
            body["training_file"] = (await self.upload())["id"]
        return await self.http.post("/v1/fine_tuning/jobs", json={"model": "starter", **body}, headers=headers)

    async def job(self, **body: Any) -> Any:
        answer = await self.create(**body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def log(self, job_id: str, message: str, **event: Any) -> None:
        async with self.db.transaction() as session:
            events.add(session, job_id, message, **event)

    async def checkpoint(self, job_id: str, step: int, **metrics: float) -> str:
        """What a worker leaves at a step; its name."""
        async with self.db.transaction() as session:
            job = await session.get_one(Job, job_id)
            name = f"{lifecycle.tuned_model_name(job, self.project.name)}:ckpt-step-{step}"
            session.add(
                Checkpoint(
                    id=ids.new("ftckpt_"),
                    job_id=job_id,
                    project_id=self.project.id,
                    name=name,
                    step=step,
                    metrics={"step": step, **metrics},
                    prefix=f"jobs/{job_id}/1/checkpoints/step-{step}",
                )
            )
        return name

    async def publish(self, job_id: str, folder: Path, files: dict[str, bytes] = ADAPTER) -> str:
        """What a worker leaves at the end: an adapter in storage, its row, a job that succeeded. The model's name."""
        for name, content in files.items():
            (folder / name).write_bytes(content)
        prefix = f"jobs/{job_id}/1/adapter"
        await artifacts.upload(self.storage, folder, prefix)
        async with self.db.transaction() as session:
            job = await session.get_one(Job, job_id)
            name = lifecycle.tuned_model_name(job, self.project.name)
            session.add(
                TunedModel(
                    name=name, project_id=self.project.id, job_id=job_id, base_model=job.base_model, prefix=prefix
                )
            )
            job.status, job.fine_tuned_model = JobStatus.SUCCEEDED, name
        return name

    async def now_scores(self, name: str) -> None:
        """Makes a reward model of a tuned model."""
        async with self.db.transaction() as session:
            (await session.get_one(TunedModel, name)).kind = tuned_models.REWARD_MODEL

    async def reward_function(self, name: str = "short", returns: str = "-len(completion)") -> dict[str, Any]:
        source = f"def reward(prompt, completion, example):\n    return {returns}\n"
        saved = await self.http.post("/v1/reward_functions", json={"name": name, "source": source})
        found: dict[str, Any] = saved.raise_for_status().json()
        return found

    async def comparison(self) -> dict[str, str]:
        """One that is ready, with an annotator and a vote: their ids."""
        made = await samples.comparison(self.db, self.project, prompts=2)
        ann = await samples.annotator(self.db, made, "Ann")
        task = await samples.next_task(self.db, made, ann)
        assert task is not None
        vote = await samples.cast(self.db, made, ann, Ballot(task.item.id, "ranking", ranking=task.vote.shown))
        return {"comparison_id": made.id, "annotator_id": ann.id, "vote_id": vote, "item_id": task.item.id}

    async def stored_completion(self) -> str:
        """One as the engine answered it; its id."""
        body: dict[str, Any] = {"id": ids.new("chatcmpl-"), "object": "chat.completion", "choices": []}
        body["choices"].append({"index": 0, "message": {"role": "assistant", "content": "4"}, "finish_reason": "stop"})
        question = {"role": "user", "content": f"What was {body['id']}?"}
        async with self.db.transaction() as session:
            stored_completions.add(session, self.project.id, "starter", {"messages": [question]}, body, None)
        return str(body["id"])

    async def stored_response(self) -> str:
        """One as the engine answered it; its id."""
        body = {"id": ids.new("resp_"), "object": "response", "output": []}
        async with self.db.transaction() as session:
            stored_responses.add(session, self.project.id, previous_id=None, input=[], body=body)
        return str(body["id"])

    async def eval(self, **changed: Any) -> Any:
        """One that looks for the item's answer in what the model says."""
        check = {"type": "string_check", "name": "has", "operation": "ilike"}
        body = {
            "name": "sums",
            "data_source_config": {
                "type": "custom",
                "item_schema": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                "include_sample_schema": True,
            },
            "testing_criteria": [{**check, "input": "{{sample.output_text}}", "reference": "{{item.a}}"}],
        }
        answer = await self.http.post("/v1/evals", json=body | changed)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def evaluated(self) -> dict[str, str]:
        """An eval with a run and an output item: their ids."""
        made = await self.eval()
        source = {"type": "file_content", "content": [{"item": {"a": "4"}, "sample": {"output_text": "4"}}]}
        body = {"data_source": {"type": "jsonl", "source": source}}
        run = (await self.http.post(f"/v1/evals/{made['id']}/runs", json=body)).json()
        outcome = Outcome(0, "pass", {"a": "4"}, {}, [], {})
        async with self.db.transaction() as session:
            row = await session.get_one(EvalRun, run["id"])
            row.owner = "worker"
            await session.flush()
            await evals.record(session, run["id"], "worker", 1, [outcome])
            item = await session.scalar(select(EvalItem.id).where(EvalItem.run_id == run["id"]))
        return {"eval_id": made["id"], "run_id": run["id"], "output_item_id": str(item)}

    async def permission(self, model: str, project_id: str | None = None) -> str:
        """Of a project, by default the tenant's own, to ask the model; its id."""
        path = f"/v1/fine_tuning/checkpoints/{model}/permissions"
        answer = await self.http.post(path, json={"project_ids": [project_id or self.project.id]})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["data"][0]["id"])

    async def webhook(self) -> dict[str, str]:
        """An endpoint, and what is to be delivered to it: their ids."""
        async with self.db.transaction() as session:
            made = await webhooks.create(session, self.project.id, "ci", "https://hooks.example.com", ["batch.failed"])
            events_of_webhooks.add(session, self.project.id, "batch.failed", "batch_x")
        async with self.db.transaction() as session:
            await webhooks.dispatch(session)
        async with self.db.snapshot() as session:
            (row,), _ = await webhooks.deliveries(session, made, status=None, after=None, limit=9)
        return {"webhook_endpoint_id": made.id, "delivery_id": row.id}

    async def end(self, job_id: str, status: JobStatus) -> None:
        async with self.db.transaction() as session:
            (await session.get_one(Job, job_id)).status = status


def refusal(answer: httpx.Response) -> tuple[int, str | None, str | None]:
    """Status, code and param of an answer that has OpenAI's error shape and nothing else."""
    body = answer.json()
    assert set(body) == {"error"}
    error = body["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"] and error["type"] in ("invalid_request_error", "insufficient_quota", "server_error")
    return answer.status_code, error["code"], error["param"]


def message(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["message"])
