"""What an executor does next, from the queue and from what Ray has reserved. Pure.

A group is Ray's reservation for one attempt at one job: it is named after the job and the fence before the claim.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from fettle.jobs.placement import Candidate
from fettle.jobs.upcoming import State
from models import JobStatus


@dataclass(frozen=True)
class Group:
    """id: Ray's. reserved: its resources are there. running: the process that runs the worker is alive.

    infeasible: no node that Ray has now could ever hold it.
    """

    id: str
    job_id: str
    fence: int
    reserved: bool
    running: bool
    infeasible: bool = False

    def waits(self, state: State | None) -> bool:
        """Whether the job is still to be claimed in this group."""
        return state == State(JobStatus.QUEUED, self.fence)

    def serves(self, state: State | None) -> bool:
        """Whether the job is running here."""
        return state == State(JobStatus.RUNNING, self.fence + 1)


@dataclass(frozen=True)
class Steps:
    """over: groups whose worker is still alive although its job has moved on; it ends by itself within seconds."""

    reserve: list[Candidate] = field(default_factory=list)
    start: list[Group] = field(default_factory=list)
    withdraw: list[Group] = field(default_factory=list)
    over: list[Group] = field(default_factory=list)


def steps(
    wanted: Sequence[Candidate],
    states: Mapping[str, State],
    groups: Sequence[Group],
    resting: Collection[str] = (),
) -> Steps:
    """wanted: the first jobs of the queue, in their order. states: of all jobs that are wanted or have a group.

    resting: ids of jobs that wait before they are tried again.
    """
    eligible = [each for each in wanted if each.id not in resting]
    eligible_ids, found, placed = {each.id for each in eligible}, Steps(), set()
    for group in groups:
        state = states.get(group.job_id)
        if group.waits(state) and (group.running or group.job_id in eligible_ids):
            placed.add(group.job_id)
            if group.reserved and not group.running:
                found.start.append(group)
        elif group.running:
            if not group.serves(state):
                found.over.append(group)
        else:
            found.withdraw.append(group)
    found.reserve.extend(each for each in eligible if each.id not in placed)
    return found
