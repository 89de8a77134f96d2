"""The executor: keeps a reservation at Ray for each of the first jobs of the queue, and starts a worker in each.

Our queue keeps its order, its quotas, its leases and its fences; Ray finds the place. What an executor knows it reads
from the database and from Ray in every round, so that it can end and start again at any time, and two can run at once.
"""

import asyncio
import time
from dataclasses import dataclass, field

import structlog

from fettle.db import DATABASE_AWAY
from fettle.jobs import events, upcoming
from fettle.jobs.placement import Candidate
from fettle.jobs.upcoming import State
from fettle.observability.causes import in_words
from fettle.settings import Settings
from fettle.tenancy import quotas
from models import JobStatus
from worker.attempts.resources import Resources
from worker.ray.cluster import Cluster
from worker.ray.plan import Group, steps

log = structlog.get_logger()

ROUND_SECONDS = 1.0
LONGEST_REST = 60.0  # seconds before a job is tried again whose worker ended without it
GOODBYE_SECONDS = 30.0  # beside the time to drain, for a worker whose job has moved on


@dataclass
class Memory:
    """What happened lately; losing it costs a warning or a pause, and nothing else.

    started: by group, the job and its fence. failures: by job and fence, how often a worker ended without it. rests:
    until when (monotonic) a job is not tried again. over: since when a group's job has moved on. told: groups whose job
    knows that no node can hold it.
    """

    started: dict[str, tuple[str, int]] = field(default_factory=dict)
    failures: dict[tuple[str, int], int] = field(default_factory=dict)
    rests: dict[str, float] = field(default_factory=dict)
    over: dict[str, float] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)


async def serve(resources: Resources, cluster: Cluster, stopping: asyncio.Event) -> None:
    """Until told to stop. Reservations and workers stay."""
    memory = Memory()
    told = asyncio.create_task(stopping.wait())
    while not stopping.is_set():
        try:
            await look(resources, cluster, memory)
        except Exception as error:  # whatever it is, the next round may go better; Ray ends a process that lost it
            away = isinstance(error, DATABASE_AWAY)
            log.warning("not_placed", cause=in_words(error), exc_info=None if away else error)
        await asyncio.wait({told}, timeout=min(ROUND_SECONDS, resources.settings.poll_seconds))


async def look(resources: Resources, cluster: Cluster, memory: Memory) -> None:
    """One round."""
    settings = resources.settings
    groups = await asyncio.to_thread(cluster.groups)
    remembered = {job_id for job_id, _ in (*memory.started.values(), *memory.failures)}
    async with resources.db.transaction() as session:
        wanted = await upcoming.first(session, quotas.defaults(settings), settings.ray_pending_jobs)
        known = {each.id for each in wanted} | {each.job_id for each in groups}
        states = await upcoming.states(session, known | remembered)
    await note_infeasible(resources, groups, states, memory)
    await note_failures(resources, groups, states, memory)
    now = time.monotonic()
    memory.rests = {job_id: until for job_id, until in memory.rests.items() if now < until}
    found = steps(wanted, states, groups, memory.rests)
    for group in [*found.withdraw, *overdue(found.over, settings, memory, now)]:
        log.info("reservation_withdrawn", job_id=group.job_id, fence=group.fence)
        await asyncio.to_thread(cluster.withdraw, group)
    jobs: dict[str, Candidate] = {each.id: each for each in wanted}
    for group in found.start:
        await asyncio.to_thread(cluster.start, group, jobs[group.job_id])
        memory.started[group.id] = (group.job_id, group.fence)
        log.info("worker_requested", job_id=group.job_id, fence=group.fence)
    for job in found.reserve:
        await asyncio.to_thread(cluster.reserve, job, states[job.id].fence)
        log.info("reservation_requested", job_id=job.id, fence=states[job.id].fence)


async def note_infeasible(resources: Resources, groups: list[Group], states: dict[str, State], memory: Memory) -> None:
    """Tells each job once that no node of the cluster could hold it."""
    memory.told &= {each.id for each in groups}
    message = (
        "No node of the Ray cluster can hold this job. It waits until a node that can joins the cluster, or "
        "until it is cancelled."
    )
    for group in groups:
        if group.infeasible and group.waits(states.get(group.job_id)) and group.id not in memory.told:
            memory.told.add(group.id)
            async with resources.db.transaction() as session:
                events.add(session, group.job_id, message, level="warn")


async def note_failures(resources: Resources, groups: list[Group], states: dict[str, State], memory: Memory) -> None:
    """Tells each job whose worker ended without it, and lets it rest: 2 s at first, twice as long each time."""
    waiting = {key for key in memory.failures if states.get(key[0]) == State(JobStatus.QUEUED, key[1])}
    memory.failures = {key: times for key, times in memory.failures.items() if key in waiting}
    running = {each.id for each in groups if each.running}
    for group_id, (job_id, fence) in list(memory.started.items()):
        if group_id in running:
            continue
        del memory.started[group_id]
        if states.get(job_id) != State(JobStatus.QUEUED, fence):
            continue
        times = memory.failures[job_id, fence] = memory.failures.get((job_id, fence), 0) + 1
        seconds = min(LONGEST_REST, 2.0**times)
        memory.rests[job_id] = time.monotonic() + seconds
        message = (
            "Ray started a worker for this job, but the worker ended before it claimed the job. The logs of Ray "
            f"on that node say why. Fettle will try again in {seconds:.0f} seconds."
        )
        async with resources.db.transaction() as session:
            events.add(session, job_id, message, level="warn")


def overdue(over: list[Group], settings: Settings, memory: Memory, now: float) -> list[Group]:
    """Groups whose job has moved on so long ago that their worker must hang."""
    memory.over = {each.id: memory.over.get(each.id, now) for each in over}
    return [each for each in over if now - memory.over[each.id] > settings.drain_seconds + GOODBYE_SECONDS]
