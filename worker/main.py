"""The worker: a claim loop per slot, the doorbell, and the reconciler, in one event loop that never blocks."""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import structlog
from structlog.contextvars import bound_contextvars

from fettle import queue
from fettle.datasets import files, uploads
from fettle.db import DATABASE_AWAY
from fettle.errors import FettleError
from fettle.host import data_folder, devices, users
from fettle.host.devices import Gang, Slot
from fettle.inference import stored_completions, stored_responses
from fettle.jobs import grading_requests, leases, preemption, runs, time_limits, workers
from fettle.observability.causes import in_words
from fettle.observability.logs import configure
from fettle.rewards.sandbox import SandboxError, cgroup, level
from fettle.rollouts import retention
from fettle.settings import Settings
from fettle.storage import Away, Refused, deletions, garbage_collection, reserve, stale_files, usage
from fettle.tenancy import quotas
from fettle.webhooks import store as deliveries
from models import Worker
from worker import comparisons, environment, metrics, presence, tasks
from worker.attempts.attempt import Attempt
from worker.attempts.resources import Resources, opened
from worker.background import batches, evals, webhooks
from worker.jobs import engine_check, publish_retry, work_folder
from worker.jobs.supervisor import supervise
from worker.jobs.training_process import ProcessLauncher
from worker.ray import executor
from worker.ray.cluster import Cluster, connect
from worker.reporting import client
from worker.rewards import guest_memory

log = structlog.get_logger()

END_SECONDS = 5  # for writing down how the last runs ended, once their time to drain is over


@dataclass(frozen=True)
class Once:
    """One job and no more. job_id: this one; None: the next. gang: the nodes that train it together."""

    job_id: str | None = None
    gang: Gang | None = None


def main() -> None:
    parser = argparse.ArgumentParser(prog="worker")
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--job")
    parser.add_argument("--nodes", type=int, help="that train the job together; they meet here, at --endpoint")
    parser.add_argument("--endpoint", help="HOST:PORT")
    given = parser.parse_args()
    gang = Gang(given.endpoint, given.nodes) if given.nodes else None
    try:
        run(Once(given.job, gang) if given.once else None)
    except FettleError as error:
        sys.exit(error.message)


def run(once: Once | None = None) -> None:
    users.conceal()
    settings = Settings()
    data_folder.prepare(settings.data)
    configure(settings)
    found = devices.visible()
    on_ray = settings.executor == "ray" and once is None
    slots = [] if on_ray else devices.slots(settings, found)[: 1 if once else None]
    slots = [replace(slot, gang=once.gang if once else None) for slot in slots]
    threads = environment.threads_per_slot(settings.threads, len(slots) or 1)
    resources = opened(settings, threads)
    metrics.serve(settings, len(slots))
    cluster = connect(settings) if on_ray else None
    environment.scrub(threads)  # after this line no child can inherit a secret
    if not on_ray and (unused := devices.idle(slots, found)):
        log.warning("gpus_idle", devices=unused, gpus_per_job=settings.gpus_per_job, slots=len(slots))
    launcher = ProcessLauncher(settings.warm_children and not on_ray)
    status = 1
    try:
        asyncio.Runner().run(work(resources, launcher, slots, once, cluster))
        status = 0
    except Exception as error:  # the process is about to end, whatever it is
        log.critical("worker_failed", exc_info=error)
    finally:
        os._exit(status)  # nothing that hangs, in a download, in storage, in a child, holds up the end


async def work(
    resources: Resources,
    launcher: ProcessLauncher,
    slots: list[Slot],
    once: Once | None = None,
    cluster: Cluster | None = None,
) -> None:
    """Until SIGTERM or SIGINT; then every run leaves a checkpoint and goes back to the queue. Raises a slot's bug.

    once: until the end of that job as well. cluster: where other workers get the jobs, when this one has no slots.
    """
    stopping, woken, asked, published = asyncio.Event(), asyncio.Event(), asyncio.Event(), asyncio.Event()
    compared, batched, evaluated = asyncio.Event(), asyncio.Event(), asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stopping.set)

    def ring() -> None:
        woken.set()
        asked.set()
        compared.set()
        batched.set()
        evaluated.set()

    row = presence.describe(resources, slots)
    serving = [
        asyncio.create_task(serve_slot(resources, launcher, number, slot, row, woken, stopping, published, once))
        for number, slot in enumerate(slots)
    ]
    if cluster is not None:
        serving.append(asyncio.create_task(executor.serve(resources, cluster, stopping)))
    others = [
        asyncio.create_task(queue.listen(resources.settings, ring)),
        asyncio.create_task(tasks.serve(resources, asked)),
        asyncio.create_task(comparisons.serve(resources, compared)),
        asyncio.create_task(batches.serve(resources, batched)),
        asyncio.create_task(evals.serve(resources, evaluated)),
        asyncio.create_task(webhooks.serve(resources)),
        asyncio.create_task(reconcile(resources, woken)),
        asyncio.create_task(tidy(resources)),
        asyncio.create_task(engine_check.serve(resources, published)),
        asyncio.create_task(
            guest_memory.watch(resources.settings.graders_memory_bytes or resources.settings.grader_memory_bytes)
        ),
    ]
    others.append(asyncio.create_task(asyncio.to_thread(prove_sandbox, row)))
    warm = resources.settings.warm_children
    log.info("worker_started", slots=[str(slot) for slot in slots], threads=resources.threads, warm=warm)
    told: asyncio.Task[Any] = asyncio.create_task(stopping.wait())
    async with presence.announced(resources, row, stopping):
        await asyncio.wait({*serving, told}, return_when=asyncio.FIRST_COMPLETED)
        stopping.set()  # a slot that failed is a bug, and ends the worker; the other slots' runs leave a checkpoint
        ended, late = await asyncio.wait(serving, timeout=resources.settings.drain_seconds + END_SECONDS)
        if late:
            log.warning("not_drained")  # the database is away, say: the leases will run out
    for task in (told, *others):
        task.cancel()
    # Python 3.11's wait_for loses a cancellation that comes with its result: such a task would go on for ever
    await asyncio.wait(others, timeout=END_SECONDS)
    await client.concluded()
    log.info("worker_stopped")
    for slot_served in ended:
        slot_served.result()


def prove_sandbox(row: Worker) -> None:
    """What confines user code here, proved by starting it, for the log and for this worker's row."""
    try:
        row.sandbox = level()
        log.info("sandbox", walls=row.sandbox)
    except SandboxError as error:
        log.warning("no_sandbox", why=str(error))


async def serve_slot(
    resources: Resources,
    launcher: ProcessLauncher,
    number: int,
    slot: Slot,
    row: Worker,
    woken: asyncio.Event,
    stopping: asyncio.Event,
    published: asyncio.Event,
    once: Once | None = None,
) -> None:
    """Claims one job after another. published: set when one has ended. once: instead one, or none if none waits."""
    owner = f"{presence.worker_id()}:{number}"
    offer = workers.offers(row)[number]
    while not stopping.is_set():
        woken.clear()  # before the look: a ring during it is heard
        try:
            async with resources.db.transaction() as session:
                settings = resources.settings
                job = await leases.claim(
                    session,
                    owner,
                    settings.lease_seconds,
                    quotas.defaults(settings),
                    offer=offer,
                    heartbeat_seconds=settings.heartbeat_seconds,
                    job_id=once.job_id if once else None,
                )
        except DATABASE_AWAY as error:
            log.warning("database_away", cause=in_words(error))
            await first_of(woken, stopping, seconds=resources.settings.poll_seconds)
            continue
        if job is None:
            if once is not None:
                log.info("nothing_to_do", job_id=once.job_id)
                return
            await first_of(woken, stopping, seconds=resources.settings.poll_seconds)
            continue
        if job.fence == 1:  # attempts count neither pauses nor drains
            metrics.claim_seconds.observe(max(0.0, time.time() - job.created_at))
        with bound_contextvars(job_id=job.id, fence=job.fence), metrics.slots_busy.track_inprogress():
            log.info("job_claimed", attempt=job.attempts)
            try:
                await supervise(Attempt(resources, job), launcher, slot, stopping)
            except Exception as error:  # a bug: this job waits out its lease, the others go on
                log.error("supervisor_failed", exc_info=error)
            await measure(resources, job.id)
        published.set()
        if once is not None:
            return


async def measure(resources: Resources, job_id: str) -> None:
    """What the job takes up in storage now."""
    try:
        await usage.measure(resources.db, resources.storage, job_id)
    except (Away, Refused, OSError, *DATABASE_AWAY) as error:  # the next collection measures again
        log.warning("not_measured", cause=in_words(error))


async def reconcile(resources: Resources, woken: asyncio.Event) -> None:
    """Takes back jobs whose worker fell silent.

    When the database was away itself, all fell silent: whoever is alive has the time of one lease to say so.
    """
    fair = 0.0  # the monotonic time from which silence counts
    while True:
        await asyncio.sleep(resources.settings.reconcile_seconds)
        reserve.make(resources.settings)
        try:
            if time.monotonic() < fair:
                await resources.db.ping()
                continue
            async with resources.db.transaction() as session:
                lost = await leases.reclaim_expired(session, resources.settings.max_attempts)
                await runs.close(session)
                if limited := await time_limits.enforce(session, quotas.defaults(resources.settings)):
                    log.info("time_limits_reached", job_ids=limited)
            async with resources.db.transaction() as session:
                if asked := await preemption.make_room(session, resources.settings):
                    log.info("preempted", job_ids=asked)
        except Exception as error:  # whatever it is, silent workers must go on being noticed
            away = isinstance(error, DATABASE_AWAY)
            log.warning("not_reconciled", cause=in_words(error), exc_info=None if away else error)
            if away:
                fair = time.monotonic() + resources.settings.lease_seconds
            continue
        if lost:
            metrics.reclaimed.inc(len(lost))
            log.warning("leases_reclaimed", job_ids=list(lost))
            woken.set()


async def tidy(resources: Resources) -> None:
    """Clears away what died runs left, work folders here and uploads in storage, and rollouts that are old enough."""
    while True:
        try:
            await work_folder.sweep(resources)
            await publish_retry.sweep(resources)
            await asyncio.to_thread(cgroup.sweep)
            stale_files.sweep(resources.settings.data / tasks.DRY_RUNS)
            stale_files.sweep(resources.settings.data / batches.FOLDER)
            stale_files.sweep(resources.settings.data / evals.FOLDER)
            async with resources.db.transaction() as session:
                await grading_requests.sweep(session)
                await uploads.sweep(session)
                await deliveries.sweep(session)
                await files.expire(session)
                await stored_responses.sweep(session, resources.settings.response_days)
                await stored_completions.sweep(session, resources.settings.completion_days)
            if (days := resources.settings.rollout_days) is not None:
                for removed in await retention.expire(resources.db, resources.storage, days):
                    metrics.rollouts_expired.inc(removed.rollouts)
                    log.info("rollouts_expired", **asdict(removed))
            await deletions.sweep(resources.db, resources.storage)
            resume_days = resources.settings.resume_days
            if collected := await garbage_collection.collect(resources.db, resources.storage, resume_days=resume_days):
                log.info("orphans_collected", prefixes=collected)
        except Exception as error:  # whatever it is, the next round may go better
            away = isinstance(error, (*DATABASE_AWAY, Away, Refused))
            log.warning("not_tidied", cause=in_words(error), exc_info=None if away else error)
        await asyncio.sleep(resources.settings.collect_seconds)


async def first_of(*events: asyncio.Event, seconds: float) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*waits, return_exceptions=True)
