"""A run that was killed or stopped goes on as if nothing had happened."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.worker.training.children import Child, Line, contents, of, rows, series, work_folder

pytestmark = pytest.mark.slow

STEPS_PER_EPOCH, EPOCHS = 3, 3
LAST = STEPS_PER_EPOCH * EPOCHS

# 20 rows of about 60 tokens in batches of 8: the last of an epoch is short. Dropout everywhere, so that the random
# state matters.
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "packed": {"packing": True, "max_seq_length": 128, "batch_size": 4},  # 10 blocks of two rows: 4, 4 and 2
    "accumulated": {"count": 80, "batch_size": 32},  # 32 rows are 2 parts of at most 1024 tokens
    "rslora": {"lora": {"use_rslora": True, "dropout": 0.1}},
    "early stopping": {"early_stopping": {"patience": 9, "min_delta": 0.0}, "eval_interval": 2},
    "bf16": {"cpu_bf16": True},
    "saved between validations": {"checkpoint_interval": 2, "eval_interval": 3},
}


def folder(path: Path, kind: str, resume: Path | None = None, valid_rows: int = 12) -> Path:
    options = {"lora": {"dropout": 0.1}, "count": 20, "n_epochs": EPOCHS} | KINDS[kind]
    count = options.pop("count")
    return work_folder(path, rows(count), rows(valid_rows, "held_out"), resume=resume, **options)


@dataclass(frozen=True)
class Run:
    child: Child
    lines: list[Line]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """One run of each kind, made when it is first asked for."""
    runs: dict[str, Run] = {}

    def run(kind: str) -> Run:
        if kind not in runs:
            child = Child(folder(tmp_path_factory.mktemp("undisturbed") / "work", kind))
            runs[kind] = Run(child, child.rest())
        return runs[kind]

    return run


def assert_equal_from(step: int, undisturbed: Run, resumed: Child, *, counted: bool = True) -> None:
    """Every loss, rate, gradient norm and token count of every later step, and every byte of the adapter.

    counted: what the run can show for its earlier steps is the same as well.
    """
    heard, expected = resumed.rest(), undisturbed.lines
    assert list(series(expected)) == list(range(1, LAST + 1))
    assert series(heard, after=step) == series(expected, after=step)
    left_out = set() if counted else {"proof"}
    assert {**heard[-1], **dict.fromkeys(left_out)} == {**expected[-1], **dict.fromkeys(left_out)}
    assert heard[-1]["type"] == "done"
    assert of("evaluation", heard) == of("evaluation", expected) != []
    adapter = contents(resumed.folder / "out" / "adapter")
    assert adapter == contents(undisturbed.child.folder / "out" / "adapter")
    assert "adapter_model.safetensors" in adapter


def test_the_same_seed_trains_the_same_adapter_in_the_same_order(
    undisturbed: Callable[[str], Run], tmp_path: Path
) -> None:
    assert_equal_from(0, undisturbed("plain"), Child(folder(tmp_path / "again", "plain")))


def test_another_seed_begins_with_other_rows(undisturbed: Callable[[str], Run], tmp_path: Path) -> None:
    """A fresh adapter changes nothing, so that the first loss depends on the rows alone."""
    other = folder(tmp_path / "other", "plain")
    (other / "spec.json").write_text((other / "spec.json").read_text().replace('"seed": 7', '"seed": 8'))
    first = series(Child(other).until("metrics"))[1]
    assert first["train_loss"] != series(undisturbed("plain").lines)[1]["train_loss"]


@pytest.mark.parametrize("kind", KINDS)
class TestEveryKindOfRun:
    def test_after_kill_9_the_curve_and_the_adapter_equal_an_undisturbed_runs(
        self, kind: str, undisturbed: Callable[[str], Run], tmp_path: Path
    ) -> None:
        killed = Child(folder(tmp_path / "killed", kind))
        (checkpoint,) = of("checkpoint", killed.until("checkpoint"))
        killed.kill()
        assert 1 < checkpoint["step"] < LAST
        resumed = Child(folder(tmp_path / "resumed", kind, killed.folder / checkpoint["path"]))
        assert_equal_from(checkpoint["step"], undisturbed(kind), resumed)

    def test_a_stop_saves_at_the_next_step_and_the_run_goes_on_from_there(
        self, kind: str, undisturbed: Callable[[str], Run], tmp_path: Path
    ) -> None:
        stopped = Child(folder(tmp_path / "stopped", kind))
        stopped.until("metrics", step=1)
        stopped.stop()
        *_, checkpoint, end = [line for line in stopped.rest() if line["type"] not in ("event", "metrics")]
        step = checkpoint["step"]
        assert 1 < step < LAST  # usually 2: in the middle of an epoch
        assert end == {"type": "stopped", "step": step}
        assert stopped.exit_code() == 0
        resumed = Child(folder(tmp_path / "resumed", kind, stopped.folder / checkpoint["path"]))
        assert_equal_from(step, undisturbed(kind), resumed)


def test_a_stop_does_not_wait_for_validation_which_is_made_up_for_later(
    undisturbed: Callable[[str], Run], tmp_path: Path
) -> None:
    """The stopped run has so many validation rows that the stop comes before they are through."""
    stopped = Child(folder(tmp_path / "stopped", "plain", valid_rows=800))
    stopped.until("metrics", step=STEPS_PER_EPOCH)
    stopped.stop()
    checkpoint, end = (line for line in stopped.rest() if line["type"] != "event")
    assert end == {"type": "stopped", "step": STEPS_PER_EPOCH}
    assert checkpoint["metrics"].keys() == {"train_loss", "train_mean_token_accuracy", "step"}
    resumed = Child(folder(tmp_path / "resumed", "plain", stopped.folder / checkpoint["path"]))
    validation = resumed.until("metrics")[-1]
    assert validation["step"] == STEPS_PER_EPOCH
    assert validation["data"].items() <= series(undisturbed("plain").lines)[STEPS_PER_EPOCH].items()
    assert_equal_from(STEPS_PER_EPOCH, undisturbed("plain"), resumed)


def test_a_stop_in_the_validation_made_up_for_loses_nothing(undisturbed: Callable[[str], Run], tmp_path: Path) -> None:
    """Stopped in validation, resumed, stopped in it again: the checkpoint that there was still stands."""
    first = Child(folder(tmp_path / "first", "plain", valid_rows=800))
    first.until("metrics", step=STEPS_PER_EPOCH)
    first.stop()
    (checkpoint,) = of("checkpoint", first.rest())
    kept = first.folder / checkpoint["path"]
    second = Child(folder(tmp_path / "second", "plain", kept, valid_rows=800))
    second.until("event", message=f"Resuming after step {STEPS_PER_EPOCH}.")
    second.stop()
    assert [line for line in second.rest() if line["type"] != "event"] == [{"type": "stopped", "step": STEPS_PER_EPOCH}]
    resumed = Child(folder(tmp_path / "resumed", "plain", kept))
    assert_equal_from(STEPS_PER_EPOCH, undisturbed("plain"), resumed)


def test_a_stop_before_the_first_step_ends_at_once_without_a_checkpoint(tmp_path: Path) -> None:
    stopped = Child(folder(tmp_path / "stopped", "plain"))
    stopped.stop()
    *events, end = stopped.rest()
    assert end == {"type": "stopped", "step": 0}
    assert all(line["type"] == "event" for line in events)
    assert not (stopped.folder / "out").exists()
    assert stopped.exit_code() == 0


def test_a_stop_in_the_evaluation_publishes_nothing_and_the_next_run_only_evaluates(
    undisturbed: Callable[[str], Run], tmp_path: Path
) -> None:
    last = undisturbed("plain").child.folder / "out" / f"checkpoint-{LAST}"
    stopped = Child(folder(tmp_path / "stopped", "plain", last, valid_rows=800))
    stopped.until("event", message=f"Resuming after step {LAST}.")
    stopped.stop()
    assert stopped.rest()[-1] == {"type": "stopped", "step": LAST}


def test_a_run_killed_after_its_last_checkpoint_only_publishes(
    undisturbed: Callable[[str], Run], tmp_path: Path
) -> None:
    done = undisturbed("plain")
    resumed = Child(folder(tmp_path / "resumed", "plain", done.child.folder / "out" / f"checkpoint-{LAST}"))
    assert_equal_from(LAST, done, resumed)


def test_a_checkpoint_of_an_earlier_version_is_resumed_with_the_validation_that_it_lacks(
    undisturbed: Callable[[str], Run], tmp_path: Path
) -> None:
    """It saved at the end of an epoch and validated afterwards, and knew of no progress file."""
    killed = Child(folder(tmp_path / "killed", "plain"))
    (checkpoint,) = of("checkpoint", killed.until("checkpoint"))
    killed.kill()
    (killed.folder / checkpoint["path"] / "progress.json").unlink()
    resumed = Child(folder(tmp_path / "resumed", "plain", killed.folder / checkpoint["path"]))
    assert resumed.until("metrics")[-1]["data"].keys() == {
        "train_loss",
        "valid_loss",
        "valid_mean_token_accuracy",
    }
    assert_equal_from(STEPS_PER_EPOCH, undisturbed("plain"), resumed, counted=False)
