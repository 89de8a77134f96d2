"""What a run took, read off its events."""

from typing import Any

from fettle.estimates import measurements
from fettle.estimates.measurements import Moment

METHOD: dict[str, Any] = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 8}}}
RLHF: dict[str, Any] = {
    "type": "rlhf",
    "rlhf": {
        "hyperparameters": {"n_epochs": 1, "batch_size": 4, "group_size": 2},
        "reward_model_hyperparameters": {"n_epochs": 5, "batch_size": 8},
    },
}


def message(at: float, text: str, **data: Any) -> Moment:
    return Moment(at, "message", text, data)


def step(at: float, tokens: float, rate: float, **data: Any) -> Moment:
    return Moment(at, "metrics", "Step", {"tokens": tokens, "tokens_per_second": rate, **data})


STARTED = message(110, "Fine-tuning job started")
DEVICE = message(112, "Device: CPU", device="CPU", devices=1)


def test_time_is_told_apart_by_what_it_was_spent_on() -> None:
    peak = message(131, "Peak memory", peak_memory_bytes=700)
    moments = [STARTED, DEVICE, step(122, 100, 50), step(124, 200, 50), step(130, 300, 100), peak]
    found = measurements.measure(moments, METHOD, created=100, now=132, bytes=1000)
    assert found is not None
    assert found["queue_seconds"] == 10
    assert found["setup_seconds"] == 10  # from 110 to the beginning of the first step, which took 2 s
    assert found["phases"] == [{"name": "supervised", "steps": 3, "tokens": 300, "completions": None, "seconds": 5.0}]
    assert found["other_seconds"] == 22 - 10 - 5
    assert (found["seconds"], found["steps"], found["tokens"]) == (22, 3, 300)
    assert found["tokens_per_byte"] == 300 / (1000 * 2)
    assert (found["device"], found["gpus"], found["peak_memory_bytes"]) == ("CPU", 0, 700)
    assert found["whole"] is True


def test_the_phases_of_an_rlhf_job_have_paces_of_their_own() -> None:
    moments = [
        STARTED,
        step(120, 100, 100, phase="reward_model"),
        step(122, 200, 50, phase="reward_model"),
        step(130, 260, 10, phase="policy"),
    ]
    found = measurements.measure(moments, RLHF, created=100, now=140, bytes=100)
    assert found is not None
    assert found["phases"] == [
        {"name": "reward_model", "steps": 2, "tokens": 200, "completions": None, "seconds": 3.0},
        {"name": "policy", "steps": 1, "tokens": 60, "completions": 8, "seconds": 6.0},
    ]
    assert found["tokens_per_byte"] == 200 / (100 * 5)


def test_validated_rows_count_every_look_at_them_and_the_evaluation() -> None:
    moments = [STARTED, step(112, 10, 10), step(113, 20, 10, valid_loss=1.0), step(114, 30, 10, valid_loss=1.0)]
    found = measurements.measure(moments, METHOD, created=100, now=120, validation_rows=50)
    assert found is not None and found["validated_rows"] == 3 * 50
    found = measurements.measure(moments[:2], METHOD, created=100, now=120, validation_rows=50)
    assert found is not None and found["validated_rows"] == 0


def test_a_run_that_was_interrupted_tells_no_other_jobs_pace() -> None:
    again = message(130, "Fine-tuning job started (attempt 2)")
    found = measurements.measure([STARTED, step(112, 10, 10), again, step(140, 20, 10)], METHOD, created=100, now=150)
    assert found is not None and (found["whole"], found["seconds"]) == (False, 40)


def test_without_a_step_there_is_nothing_to_measure() -> None:
    assert measurements.measure([STARTED, DEVICE], METHOD, created=100, now=150) is None
    assert measurements.measure([], METHOD, created=100, now=150) is None
