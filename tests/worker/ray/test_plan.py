from fettle.jobs.placement import Candidate
from fettle.jobs.upcoming import State
from models import JobStatus
from worker.ray.plan import Group, Steps, steps

QUEUED, RUNNING = JobStatus.QUEUED, JobStatus.RUNNING


def job(name: str) -> Candidate:
    return Candidate(id=name, project_id="p", created_at=0)


def group(job_id: str, fence: int = 0, *, reserved: bool = False, running: bool = False) -> Group:
    return Group(f"group of {job_id}/{fence}", job_id, fence, reserved, running)


def test_each_wanted_job_gets_one_reservation_in_the_queues_order() -> None:
    wanted = [job("b"), job("a")]
    states = {"a": State(QUEUED, 0), "b": State(QUEUED, 4)}
    assert steps(wanted, states, []) == Steps(reserve=wanted)
    assert steps(wanted, states, [group("b", 4)]) == Steps(reserve=[job("a")])


def test_a_worker_is_started_when_everything_is_reserved_and_only_once() -> None:
    states = {"a": State(QUEUED, 0)}
    ready = group("a", reserved=True)
    assert steps([job("a")], states, [ready]) == Steps(start=[ready])
    assert steps([job("a")], states, [group("a", reserved=True, running=True)]) == Steps()


def test_a_job_that_another_has_passed_gives_its_reservation_back() -> None:
    states = {"a": State(QUEUED, 0), "urgent": State(QUEUED, 0)}
    passed = group("a", reserved=True)
    assert steps([job("urgent")], states, [passed]) == Steps(reserve=[job("urgent")], withdraw=[passed])


def test_a_running_job_keeps_its_group_and_a_dead_node_gives_it_back() -> None:
    states = {"a": State(RUNNING, 1)}
    assert steps([], states, [group("a", reserved=True, running=True)]) == Steps()
    dead = group("a", reserved=True)
    assert steps([], states, [dead]) == Steps(withdraw=[dead])


def test_a_cancelled_job_and_one_that_is_gone_wait_no_longer() -> None:
    cancelled, gone = group("a"), group("b", reserved=True)
    assert steps([], {"a": State(JobStatus.CANCELLED, 1)}, [cancelled, gone]) == Steps(withdraw=[cancelled, gone])


def test_a_worker_whose_job_moved_on_is_left_to_end_and_the_next_attempt_gets_a_place_of_its_own() -> None:
    old = group("a", 0, reserved=True, running=True)
    assert steps([job("a")], {"a": State(QUEUED, 2)}, [old]) == Steps(reserve=[job("a")], over=[old])


def test_a_job_that_rests_has_no_reservation() -> None:
    left = group("a", reserved=True)
    assert steps([job("a")], {"a": State(QUEUED, 0)}, [left], resting={"a"}) == Steps(withdraw=[left])
