"""The supervisor's side of integrations: one process for each, fed with the lines that become events.

Feeding never waits and a reporter that fails costs the job nothing but a warning.
"""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import orjson
import structlog

from fettle.db import DATABASE_AWAY
from fettle.jobs import events
from fettle.settings import Settings
from models import Job
from worker import metrics
from worker.attempts.attempt import Attempt

log = structlog.get_logger()

BACKLOG = 8 << 20  # bytes that a reporter may lag behind before it is given up
COMMAND = (sys.executable, "-m", "worker.reporting")
MAKE_FILES = {"tensorboard"}
FLUSH_SECONDS = 30  # a busy host starts its process slowly
END_SECONDS = 70  # longer than the process itself allows for its end
TITLES = {"wandb": "Weights & Biases", "tensorboard": "TensorBoard", "mlflow": "MLflow"}

_ending: set[asyncio.Task[None]] = set()


class Reports:
    """All that one attempt at a job reports to."""

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.running: list[Reporter] = []
        self.events: list[dict[str, Any]] = []  # to be written by whoever writes this job's events
        self.history: dict[int, dict[str, float]] = {}

    async def start(self) -> None:
        """What earlier attempts have reported goes first, so that nothing is reported twice."""
        if not self.attempt.job.integrations:
            return
        self.history = await self.attempt.read(lambda session: events.metrics(session, self.attempt.job.id))
        for integration in self.attempt.job.integrations:
            kind = integration["type"]
            if kind not in self.attempt.settings.enabled_integrations:
                self.warn(kind, "this worker's FETTLE_INTEGRATIONS does not name it")
                continue
            try:
                reporter = await Reporter.start(self, kind)
            except OSError as error:
                self.warn(kind, f"its process did not start: {error.strerror}")
                continue
            self.running.append(reporter)
            reporter.say(
                {"type": "begin", "kind": kind, "run": run(self.attempt.settings, self.attempt.job, integration)}
            )
            for step, values in self.history.items():
                reporter.say({"type": "metrics", "step": step, "data": numbers(values), "old": True})

    def feed(self, line: dict[str, Any]) -> None:
        if not self.running or line["type"] != "metrics":
            return
        known = self.history.get(line["step"], {})
        fresh = {name: value for name, value in numbers(line["data"]).items() if name not in known}
        if fresh:
            for reporter in self.running:
                reporter.say({"type": "metrics", "step": line["step"], "data": fresh})

    def take_events(self) -> list[dict[str, Any]]:
        """Events since the last call."""
        take_events, self.events = self.events, []
        return take_events

    def warn(self, kind: str, why: str) -> None:
        metrics.report_failures.labels(kind).inc()
        log.warning("report_failed", integration=kind, why=why)
        message = f"Reporting to {TITLES[kind]} has stopped. The job continues. Cause: {why}"
        self.events.append({"type": "event", "level": "warn", "message": message})

    async def files(self) -> Sequence[Path]:
        """What reporters made for the user, complete up to now."""
        makers = [reporter for reporter in self.running if reporter.kind in MAKE_FILES]
        return [path for reporter in makers for path in await reporter.flush()]

    def conclude(self) -> None:
        """Tells the reporters how it ended, in the background: the slot is free for the next job."""
        if self.running:
            task = asyncio.create_task(self._conclude())
            _ending.add(task)
            task.add_done_callback(_ending.discard)

    async def _conclude(self) -> None:
        status = "interrupted"
        with contextlib.suppress(*DATABASE_AWAY):
            async with self.attempt.resources.db.snapshot() as session:
                row = await session.get_one(Job, self.attempt.job.id)
            if row.status.is_terminal:
                status = str(row.status)
        await asyncio.gather(*(reporter.end(status) for reporter in self.running))


async def concluded() -> None:
    """For a worker that stops: the last reports are on their way, or have been given up."""
    if _ending:
        await asyncio.wait(_ending, timeout=END_SECONDS)


class Reporter:
    def __init__(self, reports: Reports, kind: str, process: asyncio.subprocess.Process, errors: IO[bytes]) -> None:
        self.reports, self.kind, self.process, self.errors = reports, kind, process, errors
        self.flushed: asyncio.Future[list[Path]] | None = None
        self.given_up = False
        self.listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, reports: Reports, kind: str) -> "Reporter":
        errors = tempfile.TemporaryFile()  # noqa: SIM115 — read and closed when the process has ended
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env={**os.environ, **credentials(reports.attempt.settings, kind)},
            start_new_session=True,  # Ctrl-C is for the worker, which says how the job ended
        )
        return cls(reports, kind, process, errors)

    def say(self, line: dict[str, Any]) -> None:
        pipe = self.process.stdin
        if self.given_up or pipe is None or pipe.is_closing():
            return
        pipe.write(orjson.dumps(line) + b"\n")
        if pipe.transport.get_write_buffer_size() > BACKLOG:
            self._give_up("it does not keep up")

    async def flush(self) -> list[Path]:
        self.flushed = asyncio.get_running_loop().create_future()
        if self.given_up or self.listening.done():
            return []
        self.say({"type": "flush"})
        try:
            return await asyncio.wait_for(self.flushed, FLUSH_SECONDS)
        except TimeoutError:
            self._give_up(f"it was not done after {FLUSH_SECONDS} s")
            return []

    async def end(self, status: str) -> None:
        self.say({"type": "end", "status": status})
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            await asyncio.wait_for(self.listening, END_SECONDS)
        except TimeoutError:
            self._give_up(f"it did not end within {END_SECONDS} s")

    async def _listen(self) -> None:
        assert self.process.stdout is not None  # noqa: S101 — it was started with a pipe
        failure: str | None = None
        async for line in self.process.stdout:
            match orjson.loads(line):
                case {"type": "begun", "where": where}:
                    message = f"Reporting to {TITLES[self.kind]}: {where}"
                    self.reports.events.append({"type": "event", "level": "info", "message": message})
                case {"type": "flushed", "files": files}:
                    if self.flushed and not self.flushed.done():
                        self.flushed.set_result([Path(name) for name in files])
                case {"type": "failed", "message": str(message)}:
                    failure = message
        code = await self.process.wait()
        if self.flushed and not self.flushed.done():
            self.flushed.set_result([])
        if code != 0 and not self.given_up:
            self.errors.seek(0)
            tail = self.errors.read().decode(errors="replace")[-2000:]
            log.warning("reporter_died", integration=self.kind, exit_code=code, tail=tail)
            self.given_up = True
            self.reports.warn(self.kind, failure or f"its process ended with exit code {code}")
        self.errors.close()

    def _give_up(self, why: str) -> None:
        self.given_up = True
        self.reports.warn(self.kind, why)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


def numbers(values: dict[str, Any]) -> dict[str, float]:
    """What has a place on a chart."""
    named = values.items()
    return {name: value for name, value in named if isinstance(value, int | float) and name not in AXES}


AXES = ("step", "total_steps")


def run(settings: Settings, job: Job, integration: dict[str, Any]) -> dict[str, Any]:
    """What the reporter gets to know of the job: no row, no prompt, no key."""
    data = settings.data.absolute()
    kind = job.method["type"]
    return {
        "job_id": job.id,
        "created_at": job.created_at,
        "config": {
            "base_model": job.base_model,
            "method": kind,
            "seed": job.seed,
            **{name: value for name, value in job.method[kind]["hyperparameters"].items() if value is not None},
        },
        "wanted": integration.get(integration["type"]) or {},
        "folder": str(data),
        "mode": settings.wandb_mode,
        "uri": settings.mlflow_uri or f"sqlite:///{data / 'mlflow.db'}",
    }


def credentials(settings: Settings, kind: str) -> dict[str, str]:
    """Environment of the one process that needs it."""
    named = {
        "wandb": {
            "WANDB_API_KEY": settings.wandb_api_key and settings.wandb_api_key.get_secret_value(),
            "WANDB_BASE_URL": settings.wandb_base_url,
        },
        "mlflow": {"MLFLOW_TRACKING_TOKEN": settings.mlflow_token and settings.mlflow_token.get_secret_value()},
        "tensorboard": {},
    }
    return {name: value for name, value in named[kind].items() if value}
