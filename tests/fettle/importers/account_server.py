"""An account at OpenAI: a server whose objects are made from the `openai` SDK's own types."""

import json
from collections import Counter
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from openai.types import EvalListResponse, FileObject
from openai.types.evals import RunListResponse
from openai.types.fine_tuning import FineTuningJob
from openai.types.fine_tuning.jobs import FineTuningJobCheckpoint

KEY = "sk-proj-only-the-owner-knows-this-one"
SFT, RFT, DPO = "ftjob-sft", "ftjob-rft", "ftjob-dpo"
BASE, REASONER = "gpt-4o-mini-2024-07-18", "o4-mini-2025-04-16"
TUNED = f"ft:{BASE}:acme:support-bot:AbC123"
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
JUDGE = {
    "type": "score_model", "name": "judge", "model": "gpt-4.1-2025-04-14", "range": [0, 1],
    "input": [{"role": "user", "content": "Score {{sample.output_text}} against {{item.answer}}."}],
}  # fmt: skip
CHECK = {
    "type": "string_check", "name": "same", "operation": "eq", "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
}  # fmt: skip
ITEM = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}


def lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def chat(n: int, content: Any = None) -> dict[str, Any]:
    asked = {"role": "user", "content": content or f"{n} + 1"}
    return {"messages": [asked, {"role": "assistant", "content": str(n + 1)}]}


CONTENTS = {
    "file-train": lines(*(chat(n) for n in range(12))),
    "file-valid": lines(*(chat(n) for n in range(20, 30))),
    "file-prompts": lines(*({"messages": chat(n)["messages"][:1], "answer": str(n + 1)} for n in range(12))),
    "file-vision": lines(*(chat(n, [{"type": "text", "text": "Look."}, IMAGE]) for n in range(11))),
    "file-pairs": lines(*({"input": {"messages": chat(n)["messages"][:1]}} for n in range(10))),  # nothing preferred
    "file-curve": b"step,train_loss\n1,0.5\n",
    "file-rows": lines(*({"item": {"answer": str(n)}} for n in range(3))),
}
GONE = ("file-old",)
NAMES = {"file-train": "train.jsonl", "file-old": "2024.jsonl"}
PURPOSES = {"file-curve": "fine-tune-results", "file-rows": "evals", "file-pdf": "assistants"}


def file(file_id: str) -> FileObject:
    return FileObject.model_construct(
        id=file_id, bytes=len(CONTENTS.get(file_id, b"")), created_at=1_700_000_000, object="file", status="processed",
        filename=NAMES.get(file_id, f"{file_id}.jsonl"), purpose=PURPOSES.get(file_id, "fine-tune"),
    )  # fmt: skip


def job(job_id: str, training: str, **changed: Any) -> FineTuningJob:
    given = {
        "id": job_id, "created_at": 1_700_000_000, "object": "fine_tuning.job", "organization_id": "org-1",
        "result_files": ["file-curve"], "seed": 7, "status": "succeeded", "training_file": training, "model": BASE,
        "hyperparameters": {"n_epochs": 3, "batch_size": 1, "learning_rate_multiplier": 1.8}, "error": None, **changed,
    }  # fmt: skip
    return FineTuningJob.model_validate(given)


def method(kind: str, hyperparameters: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"type": kind, kind: {"hyperparameters": hyperparameters, **rest}}


SETTINGS = {"n_epochs": 3, "batch_size": 1, "learning_rate_multiplier": 1.8}
JOBS = [
    job(SFT, "file-train", validation_file="file-valid", fine_tuned_model=TUNED, metadata={"team": "blue"},
        method=method("supervised", SETTINGS), user_provided_suffix="support bot",
        integrations=[{"type": "wandb", "wandb": {"project": "bots"}}]),
    job(RFT, "file-prompts", model=REASONER,
        method=method("reinforcement", {**SETTINGS, "eval_interval": 5, "reasoning_effort": "high"}, grader=JUDGE)),
    job(DPO, "file-pairs", method=method("dpo", {"beta": 0.2, "n_epochs": 1})),
    job("ftjob-sees", "file-vision"),
    job("ftjob-old", "file-old"),
    job("ftjob-bad", "file-train", status="failed", error={"code": "bad", "message": "too few rows", "param": None}),
]  # fmt: skip
CHECKPOINTS = [
    FineTuningJobCheckpoint.model_validate({
        "id": f"ftckpt-{step}", "created_at": 1, "fine_tuned_model_checkpoint": f"{TUNED}:ckpt-step-{step}",
        "fine_tuning_job_id": SFT, "metrics": {"step": step, "train_loss": 1 / step}, "step_number": step,
        "object": "fine_tuning.job.checkpoint",
    }) for step in (10, 20, 30)
]  # fmt: skip


def eval_of(eval_id: str, config: dict[str, Any], *criteria: dict[str, Any]) -> EvalListResponse:
    return EvalListResponse.model_validate(
        {"id": eval_id, "created_at": 1, "data_source_config": config, "metadata": {}, "name": eval_id,
         "object": "eval", "testing_criteria": list(criteria)}
    )  # fmt: skip


SCHEMA = {"type": "object", "properties": {"item": ITEM, "sample": {"type": "object"}}, "required": ["item", "sample"]}
EVALS = [
    eval_of(
        "eval_same", {"type": "custom", "schema": SCHEMA}, {**CHECK, "id": "same-1"}, {**JUDGE, "pass_threshold": 0.5}
    ),
    eval_of("eval_logs", {"type": "logs", "schema": SCHEMA}, CHECK),
    eval_of("eval_bare", {"type": "custom", "schema": {"type": "object"}}, CHECK),
]
RUN = RunListResponse.model_construct(
    id="evalrun_1", created_at=1, eval_id="eval_same", object="eval.run", name="first", model=BASE, status="completed"
)


class AccountServer:
    """page: rows of a page at most. limited: answers that say 429 first. evals_ended: as after their last day."""

    def __init__(self) -> None:
        self.page, self.limited, self.evals_ended = 2, 0, False
        self.asked: Counter[str] = Counter()
        self.lists: dict[str, list[Any]] = {
            "files": [file(each) for each in [*CONTENTS, *GONE, "file-pdf"]],
            "fine_tuning/jobs": JOBS,
            f"fine_tuning/jobs/{SFT}/checkpoints": CHECKPOINTS,
            "evals": EVALS,
            "evals/eval_same/runs": [RUN],
        }
        self.contents = dict(CONTENTS)
        self.app = FastAPI()
        self.app.add_api_route("/v1/{path:path}", self.answer, methods=["GET"])

    async def answer(self, path: str, request: Request) -> Response:
        self.asked[path] += 1
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if key != KEY:
            return refused(401, f"Incorrect API key provided: {key}.", "invalid_api_key")
        if self.limited:
            self.limited -= 1
            return refused(429, "Rate limit reached.", "rate_limit_exceeded", {"Retry-After": "7"})
        if self.evals_ended and path.startswith("evals"):
            return refused(404, "The Evals API has been shut down.", "not_found")
        if path.endswith("/content"):
            content = self.contents.get(path.split("/")[1])
            return refused(404, "No such File object.", None) if content is None else Response(content)
        rows = [each.to_dict(mode="json") for each in self.lists.get(path, [])]
        after = request.query_params.get("after")
        start = next((place + 1 for place, each in enumerate(rows) if each["id"] == after), 0)
        end = start + min(self.page, int(request.query_params["limit"]))
        page = {"object": "list", "data": rows[start:end], "has_more": end < len(rows)}
        return JSONResponse(page)


def refused(status: int, message: str, code: str | None, headers: dict[str, str] | None = None) -> Response:
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return JSONResponse(body, status, headers)
