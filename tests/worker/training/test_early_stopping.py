"""A run that overfits: what it says, when it stops, which step it keeps."""

import random
from pathlib import Path

import pytest

from tests.worker.training.children import Child, Line, Row, contents, of, series, work_folder

pytestmark = pytest.mark.slow

EPOCHS = 40


def codes(count: int, seed: int) -> list[Row]:
    rng = random.Random(seed)
    return [
        {"prompt": f"Code {rng.randrange(10**6)}?", "completion": f"It is {rng.randrange(10**6)}."}
        for _ in range(count)
    ]


def folder(path: Path, resume: Path | None = None, **options: object) -> Path:
    """Codes that nothing tells but memory: their form can be learned, the codes of other rows cannot."""
    early_stopping = {"patience": 3, "min_delta": 0.0}
    values = {"n_epochs": EPOCHS, "batch_size": 16, "learning_rate": 5e-3, "early_stopping": early_stopping, **options}
    return work_folder(path, codes(16, 1), codes(16, 2), resume=resume, **values)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Child, list[Line]]:
    child = Child(folder(tmp_path_factory.mktemp("stopped") / "work"))
    return child, child.rest()


def valid_losses(lines: list[Line]) -> dict[int, float]:
    return {step: values["valid_loss"] for step, values in series(lines).items() if "valid_loss" in values}


def test_it_stops_three_validations_after_the_best_and_keeps_that_step(stopped: tuple[Child, list[Line]]) -> None:
    child, lines = stopped
    losses = valid_losses(lines)
    best = min(losses, key=lambda step: losses[step])
    assert lines[-1]["type"] == "done"
    assert (lines[-1]["step"], lines[-1]["kept_step"]) == (best + 3, best)
    assert best + 3 < EPOCHS
    (said,) = (line for line in of("event", lines) if "kept_step" in line["data"])
    assert f"Stopped early after step {best + 3} of {EPOCHS}" in said["message"]
    assert f"Step {best} is kept" in said["message"]
    weights = "adapter_model.safetensors"
    checkpoint = contents(child.folder / "out" / f"checkpoint-{best}")
    assert contents(child.folder / "out" / "adapter")[weights] == checkpoint[weights]


def test_the_best_weights_travel_with_every_later_checkpoint(stopped: tuple[Child, list[Line]]) -> None:
    """The best one's own may be pruned, or be on a worker that died."""
    child, lines = stopped
    best = lines[-1]["kept_step"]
    expected = contents(child.folder / "out" / f"checkpoint-{best}")
    assert "best_adapter.safetensors" not in expected
    for step in range(best + 1, best + 4):
        later = contents(child.folder / "out" / f"checkpoint-{step}")
        assert later["best_adapter.safetensors"] == expected["adapter_model.safetensors"]


def test_the_evaluation_is_the_kept_steps(stopped: tuple[Child, list[Line]]) -> None:
    _, lines = stopped
    (evaluation,) = of("evaluation", lines)
    kept = lines[-1]["kept_step"]
    assert evaluation["data"]["step"] == kept
    assert evaluation["data"]["tuned"]["loss"] == pytest.approx(valid_losses(lines)[kept], rel=1e-6)


@pytest.mark.parametrize("after_the_best", [0, 1, 3])
def test_resumed_from_any_checkpoint_it_ends_the_same(
    after_the_best: int, stopped: tuple[Child, list[Line]], tmp_path: Path
) -> None:
    """At the best step, past it, and when it had already stopped."""
    child, lines = stopped
    step = lines[-1]["kept_step"] + after_the_best
    resumed = Child(folder(tmp_path / "resumed", child.folder / "out" / f"checkpoint-{step}"))
    heard = resumed.rest()
    assert series(heard) == series(lines, after=step)
    assert heard[-1] == lines[-1]
    assert contents(resumed.folder / "out" / "adapter") == contents(child.folder / "out" / "adapter")


def test_without_early_stopping_it_is_warned_once_and_the_last_step_is_published(tmp_path: Path) -> None:
    child = Child(folder(tmp_path / "work", early_stopping=False))
    lines = child.rest()
    (warning,) = [line for line in of("event", lines) if line["level"] == "warn"]
    assert warning["message"].startswith("Overfitting: over the last 2 validations validation loss rose from ")
    assert (lines[-1]["step"], lines[-1]["kept_step"]) == (EPOCHS, EPOCHS)
    assert not any(path.name == "best_adapter.safetensors" for path in (child.folder / "out").rglob("*"))
