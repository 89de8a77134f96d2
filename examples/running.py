"""What every example does with the plain `openai` client: connect, upload, wait for a job."""

import os
import time
from typing import Any

from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob

from fettle.cli.terminal import printable


def connect() -> OpenAI:
    """To the server and with the key of OPENAI_BASE_URL and OPENAI_API_KEY."""
    if not os.environ.get("OPENAI_BASE_URL"):
        raise SystemExit("Set OPENAI_BASE_URL, such as http://127.0.0.1:8000/v1, and OPENAI_API_KEY.")
    return OpenAI()


def upload(client: OpenAI, name: str, content: bytes) -> str:
    """The file's id."""
    return client.files.create(file=(name, content), purpose="fine-tune").id


def wait(client: OpenAI, job_id: str) -> FineTuningJob:
    """Prints the job's events as they come. Exits when it does not succeed."""
    seen: set[str] = set()
    while True:
        job = client.fine_tuning.jobs.retrieve(job_id)
        fresh = [event for event in client.fine_tuning.jobs.list_events(job_id, limit=100) if event.id not in seen]
        for event in reversed(fresh):
            seen.add(event.id)
            print(printable(event.message), flush=True)
        if job.status == "succeeded":
            return job
        if job.status in ("failed", "cancelled"):
            raise SystemExit(printable(f"The job {job.status}: {job.error and job.error.message}"))
        time.sleep(0.5)


def evaluation(client: OpenAI, job_id: str) -> dict[str, Any]:
    """Base against tuned on the validation file."""
    return client.get(f"/fine_tuning/jobs/{job_id}/evaluation", cast_to=dict[str, Any])
