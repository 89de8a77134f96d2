"""A run that was killed or drained goes on as if nothing had happened."""

from pathlib import Path

import pytest

from tests.worker.training.children import Child, Line, contents, of, rows, series, work_folder

pytestmark = pytest.mark.slow

STEPS_PER_EPOCH, EPOCHS = 3, 3
LAST = STEPS_PER_EPOCH * EPOCHS


def folder(path: Path, resume: Path | None = None, valid_rows: int = 12) -> Path:
    """20 rows in batches of 8: the last of an epoch is short. Dropout, so that the random state matters."""
    return work_folder(
        path,
        rows(20),
        rows(valid_rows, "held_out"),
        resume=resume,
        n_epochs=EPOCHS,
        lora={"dropout": 0.1},
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Child, list[Line]]:
    child = Child(folder(tmp_path_factory.mktemp("undisturbed") / "work"))
    return child, child.rest()


def assert_equal_from(step: int, undisturbed: tuple[Child, list[Line]], resumed: Child) -> None:
    """Every metric of every later step, and every byte of the adapter."""
    child, expected = undisturbed
    heard = resumed.rest()
    assert list(series(expected)) == list(range(1, LAST + 1))
    assert series(heard, after=step) == series(expected, after=step)
    assert heard[-1] == expected[-1]
    assert heard[-1]["type"] == "done"
    assert contents(resumed.folder / "out" / "adapter") == contents(child.folder / "out" / "adapter")


def test_the_same_seed_trains_the_same_adapter_in_the_same_order(
    undisturbed: tuple[Child, list[Line]], tmp_path: Path
) -> None:
    assert_equal_from(0, undisturbed, Child(folder(tmp_path / "again")))


def test_another_seed_begins_with_other_rows(undisturbed: tuple[Child, list[Line]], tmp_path: Path) -> None:
    """A fresh adapter changes nothing, so that the first loss depends on the rows alone."""
    other = folder(tmp_path / "other")
    (other / "spec.json").write_text((other / "spec.json").read_text().replace('"seed": 7', '"seed": 8'))
    first = series(Child(other).until("metrics"))[1]
    assert first["train_loss"] != series(undisturbed[1])[1]["train_loss"]


def test_after_kill_9_the_curve_and_the_adapter_equal_an_undisturbed_runs(
    undisturbed: tuple[Child, list[Line]], tmp_path: Path
) -> None:
    killed = Child(folder(tmp_path / "killed"))
    (checkpoint,) = of("checkpoint", killed.until("checkpoint"))
    killed.kill()
    assert checkpoint["step"] == STEPS_PER_EPOCH
    resumed = Child(folder(tmp_path / "resumed", resume=killed.folder / checkpoint["path"]))
    assert_equal_from(checkpoint["step"], undisturbed, resumed)


def test_a_stop_saves_at_the_next_step_and_the_run_goes_on_from_there(
    undisturbed: tuple[Child, list[Line]], tmp_path: Path
) -> None:
    drained = Child(folder(tmp_path / "drained"))
    drained.until("metrics", step=1)
    drained.stop()
    checkpoint, stopped = [line for line in drained.rest() if line["type"] not in ("event", "metrics")]
    step = checkpoint["step"]
    assert 1 < step < LAST  # usually 2: in the middle of an epoch
    assert stopped == {"type": "stopped", "step": step}
    assert drained.exit_code() == 0
    resumed = Child(folder(tmp_path / "resumed", resume=drained.folder / checkpoint["path"]))
    assert_equal_from(step, undisturbed, resumed)


def test_a_stop_does_not_wait_for_validation_which_is_made_up_for_later(
    undisturbed: tuple[Child, list[Line]], tmp_path: Path
) -> None:
    """The drained run has so many validation rows that the stop comes before they are through."""
    drained = Child(folder(tmp_path / "drained", valid_rows=400))
    drained.until("metrics", step=STEPS_PER_EPOCH)
    drained.stop()
    checkpoint, stopped = drained.rest()
    assert stopped == {"type": "stopped", "step": STEPS_PER_EPOCH}
    assert checkpoint["metrics"].keys() == {"train_loss", "train_mean_token_accuracy", "step"}
    resumed = Child(folder(tmp_path / "resumed", resume=drained.folder / checkpoint["path"]))
    validation = resumed.until("metrics")[-1]
    assert validation["step"] == STEPS_PER_EPOCH
    assert validation["data"].items() <= series(undisturbed[1])[STEPS_PER_EPOCH].items()
    assert_equal_from(STEPS_PER_EPOCH, undisturbed, resumed)


def test_a_run_killed_after_its_last_checkpoint_only_publishes(
    undisturbed: tuple[Child, list[Line]], tmp_path: Path
) -> None:
    child, _ = undisturbed
    resumed = Child(folder(tmp_path / "resumed", resume=child.folder / "out" / f"checkpoint-{LAST}"))
    assert_equal_from(LAST, undisturbed, resumed)
