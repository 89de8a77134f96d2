"""Short tasks that run beside the jobs: grading requests and dry runs. Each runs in a process with a deadline."""

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

AT_ONCE = 12  # slots, each a process that runs only while it has a request
SHARED = 6  # while fewer are taken a project may use a second one; the others are for projects that use none
LEASE_SECONDS = 10.0  # of a request: another worker takes over soon enough for the client that waits
DRY_RUNS = "dry-runs"  # in the data folder: the datasets that they read


async def serve(resources: Resources, asked: asyncio.Event) -> None:
    """Answers requests until cancelled. `asked` is set when a request arrives."""
    owner = f"{socket.gethostname()}:{os.getpid()}"
    running: set[asyncio.Task[None]] = set()

    def ended(task: asyncio.Task[None]) -> None:
        running.discard(task)
        asked.set()

    try:
        while True:
            asked.clear()  # first, so that a request that arrives meanwhile is not missed
            grading = await claim(resources, owner, len(running)) if len(running) < AT_ONCE else None
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


async def claim(resources: Resources, owner: str, taken: int = 0) -> Grading | None:
    """taken: slots in use. One project cannot use all of them."""
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
    except Exception as error:  # whatever it is, the next try may succeed
        log.warning("not_claimed", cause=in_words(error), exc_info=None if isinstance(error, DATABASE_AWAY) else error)
        return None


async def answer(resources: Resources, grading: Grading) -> None:
    keeping = asyncio.create_task(keep_lease(resources, grading))
    try:
        result = await grade(resources, grading.request)
        async with resources.db.transaction() as session:
            await grading_requests.answer(session, grading, result)
    except Exception as error:  # the client times out by itself; the next request must be answered
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


async def grade(resources: Resources, request: dict[str, Any]) -> dict[str, Any]:
    """The answer of `worker.rewards.grading_process`, within the time that the client waits."""
    settings = resources.settings
    asked = {
        **request,
        "seconds": settings.grading_seconds,
        **open_graders.resources(settings, await resources.engines.routes()),
    }
    try:
        async with asyncio.timeout(settings.grading_seconds), dataset(resources, request) as path:
            return await run_grader({**asked, "dataset": path})
    except TimeoutError:
        return {"error": {"kind": "timeout", "message": f"No answer within {settings.grading_seconds:g} seconds."}}
    except (Away, Missing, Refused) as error:
        log.warning("dataset_not_read", cause=in_words(error))
        words = for_tenants(in_words(error))
        return {"error": {"kind": "storage", "message": f"The training file cannot be read from storage ({words})."}}


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


async def run_grader(asked: dict[str, Any]) -> dict[str, Any]:
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
