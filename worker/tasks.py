"""Short tasks beside the jobs: requests to grade, and dry runs. Each runs in a process that dies at its deadline."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import structlog

from fettle.db import DATABASE_AWAY
from fettle.jobs import grading_requests
from fettle.observability.causes import for_tenants, in_words
from fettle.storage import Away, Missing, Refused
from models import Grading
from worker.attempts.resources import Resources
from worker.rewards import open_graders

log = structlog.get_logger()

AT_ONCE = 12  # places, each a process that runs only while it has a request
SHARED = 6  # while fewer are taken a project may take a second one; the others are for projects that have none
LEASE_SECONDS = 10.0  # of a request; a worker that dies is soon stood in for, while whoever asked still waits
DRY_RUNS = "dry-runs"  # in the data folder: the datasets that they read


async def serve(resources: Resources, asked: asyncio.Event) -> None:
    """Answers one request after another, for ever; `asked` is set when the bell rings."""
    owner = f"{socket.gethostname()}:{os.getpid()}"
    running: set[asyncio.Task[None]] = set()

    def ended(task: asyncio.Task[None]) -> None:
        running.discard(task)
        asked.set()

    try:
        while True:
            asked.clear()  # before the look: a ring during it is heard
            grading = await claimed(resources, owner, len(running)) if len(running) < AT_ONCE else None
            if grading is not None:
                task = asyncio.create_task(answer(resources, grading))
                running.add(task)
                task.add_done_callback(ended)
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asked.wait(), resources.settings.poll_seconds)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def claimed(resources: Resources, owner: str, taken: int = 0) -> Grading | None:
    """taken: how many places. Loops of one project, or of a few, leave places for the others."""
    seconds = resources.settings.grading_seconds
    try:
        async with resources.db.transaction() as session:
            return await grading_requests.claim(
                session,
                owner,
                lease_seconds=LEASE_SECONDS,
                wanted_seconds=seconds,
                of_a_project=2 if taken < SHARED else 1,
            )
    except Exception as error:  # whatever it is, the next look may go better
        log.warning("not_claimed", cause=in_words(error), exc_info=None if isinstance(error, DATABASE_AWAY) else error)
        return None


async def answer(resources: Resources, grading: Grading) -> None:
    keeping = asyncio.create_task(keep_lease(resources, grading))
    try:
        result = await graded(resources, grading.request)
        async with resources.db.transaction() as session:
            await grading_requests.answer(session, grading, result)
    except Exception as error:  # whoever waits gives up by itself; the next request must be answered
        log.warning("not_graded", grading_id=grading.id, exc_info=error)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def keep_lease(resources: Resources, grading: Grading) -> None:
    while True:
        await asyncio.sleep(LEASE_SECONDS / 3)
        try:
            async with resources.db.transaction() as session:
                await grading_requests.renew(session, grading, LEASE_SECONDS)
        except DATABASE_AWAY as error:
            log.warning("lease_not_renewed", grading_id=grading.id, cause=in_words(error))


async def graded(resources: Resources, request: dict[str, Any]) -> dict[str, Any]:
    """What `worker.rewards.grading_process` says to the request, within the time that somebody waits for it."""
    settings = resources.settings
    asked = {**request, "seconds": settings.grading_seconds, **open_graders.resources(settings)}
    try:
        async with asyncio.timeout(settings.grading_seconds), dataset(resources, request) as path:
            return await judged({**asked, "dataset": path})
    except TimeoutError:
        return {"error": {"kind": "timeout", "message": f"No answer within {settings.grading_seconds:g} seconds."}}
    except (Away, Missing, Refused) as error:
        log.warning("dataset_not_read", cause=in_words(error))
        words = for_tenants(in_words(error))
        return {"error": {"kind": "storage", "message": f"Storage does not give the training file ({words})."}}


@contextlib.asynccontextmanager
async def dataset(resources: Resources, request: dict[str, Any]) -> AsyncIterator[str | None]:
    """The file that a dry run takes its prompts from; None for any other request."""
    if "dry_run" not in request:
        yield None
        return
    root = resources.settings.data / DRY_RUNS
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root) as folder:
        path = Path(folder) / "train"
        await resources.storage.get_file(request["dry_run"]["storage_key"], path)
        yield str(path)


async def judged(asked: dict[str, Any]) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "worker.rewards.grading_process",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        said, _ = await process.communicate(orjson.dumps(asked))
        result: dict[str, Any] = orjson.loads(said)
        return result
    except orjson.JSONDecodeError:
        return {"error": {"kind": "died", "message": f"The grading process ended with {process.returncode}."}}
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # sandboxes end with it: they watch their parent
        await process.wait()
