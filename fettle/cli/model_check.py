"""What a new base model can do, tried through the API: it answers and stops, and it trains for a step."""

import io
import json
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from fettle.cli.client import Client
from fettle.cli.jobs import JOBS
from fettle.cli.terminal import plain, say
from fettle.errors import FettleError

QUESTION = "What is the capital of France? Answer in one word."
ANSWER_AT_MOST = 256  # tokens
ROWS = "".join(
    json.dumps({"prompt": f"What is {number} + 1?", "completion": f"{number} + 1 = {number + 1}"}) + "\n"
    for number in range(10)
)
SETTINGS = {"n_epochs": 1, "batch_size": 10, "max_seq_length": 256}


@dataclass(frozen=True)
class Result:
    name: str
    ok: bool
    said: str


def run(client: Client, model: str) -> list[Result]:
    return [*answer(client, model), train(client, model)]


def show(results: list[Result]) -> None:
    for each in results:
        say(Text("✓ " if each.ok else "✗ ", "green" if each.ok else "red") + plain(f"{each.name}: {each.said}"))


def answer(client: Client, model: str) -> list[Result]:
    """It answers, and ends its turn by itself. A base model that was never taught to chat may not."""
    body = {"model": model, "messages": [{"role": "user", "content": QUESTION}], "temperature": 0}
    try:
        choice = client.post("/v1/chat/completions", body | {"max_completion_tokens": ANSWER_AT_MOST})["choices"][0]
    except FettleError as error:
        return [Result("answers", False, error.message)]
    said = " ".join((choice["message"]["content"] or "").split())
    stops = choice["finish_reason"] == "stop"
    why = f"It wrote {ANSWER_AT_MOST} tokens without an end. Train it on answers that end, or check its end of turn."
    return [
        Result("answers", bool(said), said[:200] or "The answer is empty."),
        Result("stops", stops, "It ends its turn." if stops else why),
    ]


def train(client: Client, model: str) -> Result:
    """One step on ten rows. What it made is deleted; the job stays in the list."""
    file = client.upload(io.BytesIO(ROWS.encode()), "model-check.jsonl")
    method = {"type": "supervised", "supervised": {"hyperparameters": SETTINGS}}
    body = {"model": model, "training_file": file["id"], "method": method, "suffix": "check"}
    try:
        job = client.post(JOBS, body | {"metadata": {"made_by": "fettle models add"}})
        for _ in client.events(job["id"]):
            pass
        job = client.get(f"{JOBS}/{job['id']}")
        if job["status"] == "succeeded":
            client.delete(f"/v1/models/{job['fine_tuned_model']}")
            return Result("trains", True, f"One step in {job['finished_at'] - job['created_at']} s ({job['id']}).")
        return Result("trains", False, reason(job))
    except FettleError as error:
        return Result("trains", False, error.message)
    finally:
        client.delete(f"/v1/files/{file['id']}")


def reason(job: dict[str, Any]) -> str:
    return f"The job {job['id']} {job['status']}. {(job['error'] or {}).get('message') or ''}".rstrip()
