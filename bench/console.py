"""How quickly a job's page is there with 100,000 steps of metrics, and what 50 open job pages cost the API.

python -m bench.console

The page is opened in the system's Chromium with an empty cache, the first time before any process has read the curves.
An open page asks for what is new every 2.5 seconds, as the page does, while the job takes a step each second.
"""

import asyncio
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil
from sqlalchemy import insert, select, update

from fettle import ids
from fettle.cli.up import first_start, free_port
from fettle.db import Database
from fettle.settings import Settings
from models import Event, Job, JobStatus, Project

STEPS, PAGES, SECONDS, EVERY, RUNS = 100_000, 50, 30, 2.5, 5


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="fettle-bench-") as folder:
        settings = Settings(data=Path(folder), port=free_port())
        job_id = asyncio.run(prepare(settings))
        env = {**os.environ, "FETTLE_DATA": folder, "FETTLE_PORT": str(settings.port)}
        process = subprocess.Popen([sys.executable, "-m", "api"], env=env, stderr=subprocess.DEVNULL)
        try:
            url = f"http://127.0.0.1:{settings.port}"
            wait_for_api(url, process)
            key = (Path(folder) / "admin.key").read_text().strip()
            print(json.dumps(page_figures(url, key, job_id)))
            figures = asyncio.run(open_pages(url, key, job_id, settings, process.pid))
            print(json.dumps(figures))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def wait_for_api(url: str, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        try:
            httpx.get(f"{url}/healthz", trust_env=False).raise_for_status()
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise SystemExit("the API did not start")


async def prepare(settings: Settings) -> str:
    """A job that runs, and its metrics, straight into the database."""
    await first_start(settings)
    db = Database(settings.database)
    hyperparameters = {"n_epochs": 1, "batch_size": 1, "learning_rate_multiplier": 1.0}
    method = {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}
    job = Job(
        id=ids.new("ftjob-"), base_model="starter", training_file="file-none", method=method, seed=1, request_digest="",
        status=JobStatus.RUNNING, owner="bench", lease_until=time.time() + 86_400, result_files=[],
    )  # fmt: skip
    async with db.transaction() as session:
        job.project_id = (await session.scalars(select(Project.id))).one()
        session.add(job)
        await session.flush()
        for start in range(1, STEPS + 1, 5000):
            await session.execute(insert(Event), [step_event(job.id, step) for step in range(start, start + 5000)])
    await db.close()
    return job.id


def step_event(job_id: str, step: int) -> dict[str, Any]:
    wave = math.sin(step / 700)
    data = {
        "step": step, "total_steps": 2 * STEPS, "train_loss": 2 / (1 + step / 5000) + wave / 10, "grad_norm": 1 + wave,
        "train_mean_token_accuracy": 0.5 + step / STEPS / 3, "learning_rate": 2e-4, "tokens": step * 512,
        "tokens_per_second": 4000 + 100 * wave, "epoch": step / 1000,
    }  # fmt: skip
    event = {"id": ids.new("ftevent-"), "job_id": job_id, "level": "info", "type": "metrics", "message": "Step"}
    return event | {"data": data, "created_at": time.time()}


def page_figures(url: str, key: str, job_id: str) -> dict[str, Any]:
    """Seconds from the navigation's start to the first paint, and to curves that can be used."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return {"page": "not measured: Chromium is not installed"}
    from playwright.sync_api import sync_playwright

    paints, readies = [], []
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        signed_in = browser.new_context()
        signed_in.request.post(f"{url}/session", data={"api_key": key})
        for _ in range(RUNS):
            context = browser.new_context(storage_state=signed_in.storage_state())
            page = context.new_page()
            page.goto(f"{url}/#/jobs/{job_id}", wait_until="commit")
            page.locator(".curve canvas").first.wait_for(timeout=120_000)
            readies.append(page.evaluate("performance.now()") / 1000)
            paints.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1000)
            context.close()
        browser.close()
    return {
        "steps": STEPS,
        "first_paint_seconds": round(median(paints), 2),
        "interactive_seconds": round(median(readies), 2),
        "interactive_first_seconds": round(readies[0], 2),
        "interactive_worst_seconds": round(max(readies), 2),
    }


async def open_pages(url: str, key: str, job_id: str, settings: Settings, pid: int) -> dict[str, Any]:
    """The API's share of a core while the pages are open; what they cost to open is not counted."""
    path = f"/v1/fine_tuning/jobs/{job_id}"
    limits = httpx.Limits(max_connections=2 * PAGES, max_keepalive_connections=2 * PAGES, keepalive_expiry=4)
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, limits=limits, trust_env=False, timeout=30) as http:
        last = (await http.get(f"{path}/updates")).json()["last_id"]
        end = time.monotonic() + SECONDS
        process = psutil.Process(pid)
        before, started = used(process), time.monotonic()
        training = asyncio.create_task(train(settings, job_id, end))
        await asyncio.gather(*(follow(http, path, last, end, place) for place in range(PAGES)))
        share = (used(process) - before) / (time.monotonic() - started)
        await training
    return {"open_pages": PAGES, "api_share_of_a_core": round(share, 3)}


def used(process: psutil.Process) -> float:
    """CPU seconds of the API and of its processes for isolated work."""
    return sum(sum(each.cpu_times()[:2]) for each in [process, *process.children(recursive=True)])


async def train(settings: Settings, job_id: str, end: float) -> None:
    db = Database(settings.database)
    step = STEPS
    while time.monotonic() < end:
        step += 1
        async with db.transaction() as session:
            await session.execute(insert(Event), [step_event(job_id, step)])
            await session.execute(update(Job).where(Job.id == job_id).values(estimated_finish=time.time() + 60))
        await asyncio.sleep(1)
    await db.close()


async def follow(http: httpx.AsyncClient, path: str, last: str, end: float, place: int) -> None:
    await asyncio.sleep(EVERY * place / PAGES)
    while time.monotonic() < end:
        updates = await http.get(f"{path}/updates", params={"after": last})
        last = updates.raise_for_status().json()["last_id"]
        await asyncio.sleep(EVERY)


if __name__ == "__main__":
    main()
