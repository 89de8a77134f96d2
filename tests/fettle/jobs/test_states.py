import ast
from itertools import product

import pytest
from sqlalchemy import select

from fettle.db import Database
from fettle.errors import Conflict
from fettle.jobs import states
from models import ENDED, Job, JobStatus, Project
from tests.fettle import given
from tests.test_layers import ROOT

PAIRS = list(product(JobStatus, JobStatus))


def test_of_the_jobs_that_have_ended_only_a_failed_one_can_move_and_only_to_the_queue() -> None:
    assert set(states.MOVES) == set(JobStatus)
    assert {status: set(states.MOVES[status]) for status in ENDED} == {
        JobStatus.SUCCEEDED: set(),
        JobStatus.FAILED: {JobStatus.QUEUED},
        JobStatus.CANCELLED: set(),
    }


def test_is_terminal_says_whether_a_job_has_ended() -> None:
    assert {status for status in JobStatus if status.is_terminal} == {"succeeded", "failed", "cancelled"}


@pytest.mark.parametrize(("status", "to"), PAIRS)
def test_a_job_moves_only_where_the_table_says(status: JobStatus, to: JobStatus) -> None:
    job = Job(id="ftjob-1", status=status)
    if to in states.MOVES[status]:
        states.move(job, to)
        assert job.status == to
        return
    with pytest.raises(Conflict, match=f"'ftjob-1' .*{status}. It cannot become {to}") as refused:
        states.move(job, to)
    assert refused.value.code == "job_not_active"
    assert job.status == status


async def test_an_update_changes_no_job_that_may_not_move_there(db: Database, project: Project) -> None:
    jobs = {status: await given.job(db, project) for status in JobStatus}
    for status, job in jobs.items():
        await given.change(db, job, status=status)
    async with db.transaction() as session:
        await session.execute(states.moving(JobStatus.PAUSED))
    async with db.snapshot() as session:
        found = dict((await session.execute(select(Job.id, Job.status))).tuples().all())
    moved = {status for status, job in jobs.items() if found[job.id] != status}
    assert moved == {JobStatus.QUEUED, JobStatus.RUNNING}
    assert {found[jobs[status].id] for status in moved} == {JobStatus.PAUSED}


def writes_of_a_state(source: str) -> list[int]:
    """Lines that set the state of a job that exists, without `states`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Assign(targets=targets, value=value):
                names = [each for target in targets for each in ast.walk(target)]
                to_status = any(isinstance(each, ast.Attribute) and each.attr == "status" for each in names)
                if to_status and "JobStatus" in ast.unparse(value):
                    found.append(node.lineno)
            case ast.Call(func=ast.Attribute(attr="values"), keywords=keywords):
                if any(each.arg == "status" and "JobStatus" in ast.unparse(each.value) for each in keywords):
                    found.append(node.lineno)
    return found


def test_no_other_module_sets_the_state_of_a_job() -> None:
    modules = [path for room in ("api", "fettle", "worker") for path in (ROOT / room).rglob("*.py")]
    wrong = {str(path): lines for path in modules if (lines := writes_of_a_state(path.read_text()))}
    assert wrong == {}


@pytest.mark.parametrize(
    "source",
    [
        "job.status = JobStatus.PAUSED",
        "job.status, job.error = JobStatus.QUEUED, None",
        "update(Job).values(status=JobStatus.FAILED)",
    ],
)
def test_every_way_to_set_it_is_seen(source: str) -> None:
    assert writes_of_a_state(source) == [1]
