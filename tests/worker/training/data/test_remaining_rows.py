"""`auto` on the rows that remain, against what the methods' own rules give for so many rows."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fettle import methods
from worker.training.data import remaining_rows
from worker.training.data.remaining_rows import resolve, resolved
from worker.training.process.channel import Channel
from worker.training.process.job_spec import Work, with_defaults

GRADED = {"reward_functions": ["answer_correct"]}


class Recorder(Channel):
    def __init__(self) -> None:
        self.events: list[str] = []
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def event(self, message: str, data: Any = None, *, level: str = "info") -> None:
        self.events.append(message)

    def send(self, type: str, **fields: Any) -> None:
        self.sent.append((type, fields))


def work(kind: str, rows: int, phase: str = "", **own: Any) -> Work:
    """A job as it was planned for a file of so many rows."""
    body = {"type": kind, kind: ({"hyperparameters": {}} | own)}
    method: methods.Method = methods.METHODS[kind].request.model_validate(body)
    given = methods.Given(rows=rows, base_parameters=1_000_000, base_length=2048, file_bytes=100 * rows)
    planned = methods.resolve(method, given)[kind]
    asked = planned.pop("reward_model_hyperparameters" if phase == "reward_model" else "hyperparameters")
    return Work(
        folder=Path(), method=kind, hyperparameters=with_defaults(asked), seed=1, base_name="starter", base_path=Path(),
        threads=1, options=planned, phase=phase, resolved_from=methods.resolved_from(method, given),
    )  # fmt: skip


def of(kind: str, rows: int, **own: Any) -> dict[str, Any]:
    return work(kind, rows, **own).hyperparameters


def test_a_batch_of_all_twelve_prompts_becomes_one_of_the_eleven_that_remain() -> None:
    planned = work("reinforcement", 12, **GRADED)
    assert planned.hyperparameters["batch_size"] == 12
    channel = Recorder()
    found = resolve(planned, 11, channel)
    assert found.hyperparameters == of("reinforcement", 11, **GRADED)
    assert found.hyperparameters["batch_size"] == 11
    assert channel.events == ["'auto' for the 11 rows that remain: batch_size 12 → 11."]
    assert channel.sent == [("hyperparameters", {"of": "hyperparameters", "values": {"batch_size": 11}})]


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        ("supervised", {}), ("supervised", {"hyperparameters": {"packing": True}}), ("dpo", {}),
        ("reward_model", {}), ("rlhf", {}), ("rlhf", {"algorithm": "rloo"}), ("rlhf", {"reward_model": "ft:x"}),
        ("reinforcement", GRADED),
    ],
)  # fmt: skip
def test_every_method_resolves_as_if_the_file_had_only_the_rows_that_remain(kind: str, own: dict[str, Any]) -> None:
    for rows, remain in ((12, 11), (8000, 7301), (40, 37)):
        assert resolved(work(kind, rows, **own), remain).hyperparameters == of(kind, remain, **own)


def test_the_reward_model_of_an_rlhf_job_is_resolved_on_its_own_rows() -> None:
    found = resolved(work("rlhf", 8000, phase="reward_model"), 3000)
    assert found.hyperparameters == work("rlhf", 3000, phase="reward_model").hyperparameters


def test_what_was_asked_for_by_name_stays() -> None:
    own = GRADED | {"hyperparameters": {"batch_size": 12, "n_epochs": 2, "learning_rate": 0.001}}
    planned = work("reinforcement", 12, **own)
    assert resolved(planned, 11).hyperparameters == planned.hyperparameters  # and the method refuses it
    found = resolved(work("reinforcement", 40, **own), 37).hyperparameters
    assert (found["batch_size"], found["n_epochs"], found["learning_rate"]) == (12, 2, 0.001)


def test_with_all_rows_left_nothing_changes_and_nothing_is_said() -> None:
    channel, planned = Recorder(), work("reinforcement", 12, **GRADED)
    assert resolve(planned, 12, channel) is planned
    assert (channel.events, channel.sent) == ([], [])


def test_a_job_of_an_earlier_version_keeps_what_it_has() -> None:
    planned = replace(work("supervised", 12), resolved_from=None)
    assert resolved(planned, 3) is planned


def test_several_ranks_share_a_batch_that_was_left_to_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remaining_rows.ranks, "count", lambda: 2)
    assert resolved(work("reinforcement", 12, **GRADED), 11).hyperparameters["batch_size"] == 10
    asked = GRADED | {"hyperparameters": {"batch_size": 7}}
    assert resolved(work("reinforcement", 12, **asked), 11).hyperparameters["batch_size"] == 7
