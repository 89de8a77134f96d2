from typing import Any

from worker.jobs.step_progress import StepProgress


def metrics(step: int, total: int = 10) -> dict[str, Any]:
    return {"type": "metrics", "step": step, "total_steps": total, "data": {}}


def after(*lines: dict[str, Any], at: float = 100.0) -> StepProgress:
    """All lines came at the same moment."""
    progress = StepProgress(began=at)
    for line in lines:
        progress.see(line, at)
    return progress


class TestStored:
    def test_a_quick_step_stores_nothing(self) -> None:
        assert after(metrics(3)).to_store(101.9) is None

    def test_a_slow_step_is_stored_every_two_seconds(self) -> None:
        progress = after(metrics(3))
        shown = progress.to_store(103.0)
        assert shown == {"step": 4, "total_steps": 10, "phase": "training", "seconds": 3.0}
        assert progress.to_store(104.9) is None
        assert progress.to_store(105.0) is not None

    def test_completions_that_are_written_are_counted_with_their_rate(self) -> None:
        line = {"type": "progress", "phase": "generating", "done": 3, "total": 8, "unit": "completions", "rate": 41.5}
        shown = after(metrics(3), line).to_store(110.0)
        assert shown is not None
        assert (shown["phase"], shown["done"], shown["total"], shown["rate"]) == ("generating", 3, 8, 41.5)

    def test_tools_that_take_long_are_counted_with_the_one_that_is_waited_for(self) -> None:
        progress = after(metrics(3), {"type": "call_tools", "calls": [{}] * 6})
        progress.see_scorer({"done": 2, "total": 6, "unit": "tool calls", "slow": "the tool 'search'"})
        shown = progress.to_store(110.0)
        assert shown is not None
        assert (shown["phase"], shown["done"], shown["slow"]) == ("calling", 2, "the tool 'search'")

    def test_scoring_shows_what_the_scorer_says_and_training_forgets_it(self) -> None:
        progress = after(metrics(3), {"type": "score", "rollouts": [{}] * 8})
        progress.see_scorer({"done": 5, "total": 8, "unit": "answers of the judge", "slow": "the grader 'kind' (9 s)"})
        shown = progress.to_store(110.0)
        assert shown is not None
        assert (shown["phase"], shown["done"], shown["slow"]) == ("scoring", 5, "the grader 'kind' (9 s)")
        progress.see({"type": "rollouts"}, 111.0)
        progress.see_scorer({"done": 8, "total": 8, "unit": "answers of the judge"})
        shown = progress.to_store(113.0)
        assert shown is not None
        assert shown["phase"] == "training"
        assert "done" not in shown


class TestTold:
    def test_a_step_is_told_of_after_twenty_seconds_and_then_after_twice_as_long(self) -> None:
        progress = after(metrics(3))
        assert [now for now in range(101, 300) if progress.to_tell(float(now))] == [120, 140, 180, 260]

    def test_where_every_step_is_slow_only_an_unusual_one_is_told_of(self) -> None:
        progress = after(metrics(3))
        assert progress.to_tell(120.0)
        for step in range(4, 8):
            progress.see(metrics(step), 121.0 + 21 * (step - 4))  # each takes 21 s
            assert progress.to_tell(141.0 + 21 * (step - 4)) is None
        assert [now for now in range(205, 300) if progress.to_tell(float(now))] == [226, 268]  # 42 s and 84 s after 184

    def test_the_first_step_which_loads_as_well_is_no_measure(self) -> None:
        progress = after()
        progress.see(metrics(1), 300.0)
        assert [now for now in range(300, 330) if progress.to_tell(float(now))] == [320]

    def test_it_says_what_is_slow(self) -> None:
        progress = after(metrics(3), {"type": "score", "rollouts": [{}] * 8})
        progress.see_scorer({"done": 5, "total": 8, "unit": "answers of the judge", "slow": "the grader 'kind' (9 s)"})
        told = progress.to_tell(121.0)
        assert told is not None
        assert told[0] == (
            "Step 4 has taken 21 s so far. The job is scoring completions: 5 of 8 answers of the judge done. "
            "The slowest part is the grader 'kind' (9 s)."
        )

    def test_it_says_which_part_of_the_step_is_slow(self) -> None:
        progress = after(metrics(3))
        line = {"type": "progress", "done": 6, "total": 16, "unit": "completions", "rate": 500.0}
        for phase, now in (("generating", 101.0), ("scoring", 131.0), ("comparing", 133.0), ("training", 140.0)):
            progress.see({**line, "phase": phase}, now)
        told = progress.to_tell(145.0)
        assert told is not None
        assert told[0] == (
            "Step 4 has taken 45 s so far. The job is training: 6 of 16 completions done, 500 tokens/s. "
            "The slowest part is writing completions (30 s)."
        )
        assert told[1]["slow"] == "writing completions (30 s)"
        shown = progress.to_store(175.0)
        assert shown is not None
        assert shown["slow"] == "training (36 s)"  # 1 s before the completions, 35 s after
        progress.see(metrics(4), 176.0)
        later = progress.to_store(180.0)
        assert later is not None
        assert "slow" not in later

    def test_before_the_first_step_it_loads_and_after_the_last_it_evaluates(self) -> None:
        first = after().to_tell(120.0)
        assert first is not None
        assert first[0] == "Step 1 has taken 20 s so far. The job is loading the model and the data."
        last = after(metrics(10)).to_tell(120.0)
        assert last is not None
        assert last[0].startswith("The evaluation has taken 20 s so far.")
        assert last[1]["step"] is None
        scoring = {"type": "progress", "phase": "scoring", "done": 64, "total": 128, "unit": "completions", "rate": 9.0}
        last = after(metrics(10), scoring).to_tell(120.0)
        assert last is not None
        assert last[0].startswith("The evaluation has taken 20 s so far. The job is scoring completions: 64 of 128")
