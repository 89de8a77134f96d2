"""Steps that teach nothing, in series that are written here."""

from typing import Any

from worker.rewards.learning_watch import DEAD_STEPS, LearningWatch

Step = dict[str, Any]


def step(dead: float | None = 0.0, *, version: int = 1, judged: bool = True) -> Step:
    reward = {"mean": 0.25, "std": 0.1} if judged else None
    return {"reward": reward, "dead_groups": dead, "errors": 0 if judged else 16, "reward_version": version}


UNJUDGED = step(None, judged=False)


def told(steps: list[Step]) -> tuple[list[tuple[int, str]], list[str], LearningWatch]:
    """(number of the step, code) of what is told while it runs; codes of what is told at the end."""
    watch = LearningWatch()
    during = [(number, warn.code) for number, seen in enumerate(steps, 1) for warn in watch.see(seen)]
    return during, [warn.code for warn in watch.conclude()], watch


def test_a_run_that_goes_dead_at_step_7_of_40_is_told_at_step_10_and_at_the_end() -> None:
    during, end, watch = told([step()] * 6 + [step(1.0)] * 34)
    assert during == [(10, "dead_steps")]
    assert end == ["ended_dead"]
    assert "In the last 34 of the job's 40 steps" in watch.conclude()[0].message


def test_a_run_that_recovers_is_not_told_at_the_end() -> None:
    during, end, _ = told([step()] * 6 + [step(1.0)] * DEAD_STEPS + [step(0.5)] * 6)
    assert (during, end) == ([(10, "dead_steps")], [])


def test_a_few_dead_steps_are_chance() -> None:
    assert told([step(), *[step(1.0)] * (DEAD_STEPS - 1), step(0.75)] * 3)[0] == []


def test_a_run_of_two_steps_that_were_both_dead_is_told_at_the_end() -> None:
    assert told([step(1.0)] * 2)[:2] == ([], ["ended_dead"])


def test_a_run_most_of_whose_steps_were_dead_is_told_so() -> None:
    assert told([step(1.0), step(1.0), step(0.5)] * 4)[:2] == ([], ["mostly_dead_steps"])


def test_steps_without_a_single_judged_completion_are_told_once_a_row() -> None:
    during, end, watch = told([step(), UNJUDGED, UNJUDGED, step(), UNJUDGED])
    assert during == [(2, "nothing_judged"), (5, "nothing_judged")]
    assert end == ["ended_with_unjudged_steps"]
    assert "In 3 of the job's 5 steps" in watch.conclude()[0].message
    assert not watch.nothing_judged


def test_a_job_in_which_nothing_was_judged_is_known() -> None:
    assert told([UNJUDGED] * 3)[2].nothing_judged
    assert not LearningWatch().nothing_judged


def test_new_rewards_begin_a_new_row() -> None:
    during, _, _ = told([step(1.0)] * 3 + [step(1.0, version=2)] * 3)
    assert during == []


def test_a_summary_of_an_earlier_version_without_dead_groups_counts_as_alive() -> None:
    known = step()
    del known["dead_groups"]
    assert told([known] * 8)[:2] == ([], [])
