"""From POST to the first optimizer step, as a client sees it: warm children against cold ones, interleaved in one run.

    python -m bench.start

Two servers of the same code and settings, but for `FETTLE_WARM_CHILDREN`. The clock starts before the POST and stops
when the event of the first step arrives.
"""

import json
import time
from statistics import median

import httpx
from openai import OpenAI

from bench._server import server
from examples.demo import BASE
from examples.sft import dataset

WARM_RUNS_PER_COLD, ROUNDS = 3, 5
ROWS = 800


def main() -> None:
    quick = {"event_poll_seconds": "0.05", "threads": "1"}
    warm_seconds: list[float] = []
    cold_seconds: list[float] = []
    with server(**quick, warm_children="true") as warm, server(**quick, warm_children="false") as cold:
        files = {client: upload(client) for client in (warm, cold)}
        first_step(warm, files[warm])  # the forkserver has finished its imports after this
        for _ in range(ROUNDS):
            for _ in range(WARM_RUNS_PER_COLD):
                warm_seconds.append(first_step(warm, files[warm]))
            cold_seconds.append(first_step(cold, files[cold]))
            print(f"warm {warm_seconds[-1]:.2f} s   cold {cold_seconds[-1]:.2f} s", flush=True)
    figures = {
        "rows": ROWS,
        "warm_p50_seconds": round(median(warm_seconds), 2),
        "warm_worst_seconds": round(max(warm_seconds), 2),
        "cold_p50_seconds": round(median(cold_seconds), 2),
        "cold_over_warm": round(median(cold_seconds) / median(warm_seconds), 1),
    }
    print(json.dumps(figures))


def upload(client: OpenAI) -> str:
    return client.files.create(file=("train.jsonl", dataset("train", ROWS)), purpose="fine-tune").id


def first_step(client: OpenAI, training_file: str) -> float:
    """Seconds; the job is cancelled afterwards."""
    started = time.perf_counter()
    job = client.fine_tuning.jobs.create(model=BASE, training_file=training_file)
    url = f"{client.base_url}fine_tuning/jobs/{job.id}/events"
    headers = {"Authorization": f"Bearer {client.api_key}"}
    with httpx.stream("GET", url, params={"stream": "true"}, headers=headers, timeout=60, trust_env=False) as events:
        for line in events.iter_lines():
            if '"type":"metrics"' in line:
                break
    seconds = time.perf_counter() - started
    client.fine_tuning.jobs.cancel(job.id)
    time.sleep(1)  # the slot is free again
    return seconds


if __name__ == "__main__":
    main()
