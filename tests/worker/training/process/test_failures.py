"""What a user reads for what the libraries raise; every error here is a real one where one can be had."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import SafetensorError

from fettle.errors import TrainingFailed
from worker.training.arguments import rows_at_once
from worker.training.loop import finish
from worker.training.process.failures import explain

pytestmark = pytest.mark.slow  # loads transformers


def raised(action: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as caught:
        action()
    return caught.value


def raise_(error: Exception, cause: Exception | None = None) -> None:
    raise error from cause


@pytest.mark.parametrize(
    ("action", "code"),
    [
        (lambda: bytearray(1 << 62), "out_of_memory"),
        (lambda: torch.empty(1 << 60), "out_of_memory"),
        (lambda: raise_(torch.OutOfMemoryError("CUDA out of memory.")), "out_of_memory"),
        (lambda: Path("/dev/full").write_text("x"), "disk_full"),
        (lambda: torch.save({"x": torch.zeros(1_000_000)}, "/dev/full"), "disk_full"),
        (lambda: raise_(SafetensorError("I/O error: No space left on device (os error 28)")), "disk_full"),
        (lambda: raise_(ValueError("outer"), MemoryError()), "out_of_memory"),
        (lambda: raise_(ValueError("outer"), TrainingFailed("diverged", "…")), "diverged"),
        (lambda: [][0], "training_failed"),
    ],
)
def test_an_error_gets_the_code_of_its_cause(action: Callable[[], object], code: str) -> None:
    assert explain(raised(action)).code == code


def test_an_unknown_error_shows_its_type_and_first_line_only() -> None:
    assert explain(RuntimeError("first\nsecond")).message == "RuntimeError: first"
    assert explain(RuntimeError()).message == "RuntimeError"


def test_a_trainer_that_returns_early_without_a_stop_has_failed() -> None:
    trainer = SimpleNamespace(state=SimpleNamespace(global_step=3, max_steps=10))
    with pytest.raises(TrainingFailed, match="after step 3 of 10") as failure:
        finish(trainer, SimpleNamespace(drained=False, stopped_early=False), None, None)  # type: ignore[arg-type]
    assert failure.value.code == "training_incomplete"


def test_on_a_gpu_a_batch_is_cut_into_equal_parts_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = (1, 8, 16, 17, 24, 32, 48, 64)
    assert [rows_at_once(size) for size in sizes] == list(sizes)  # a CPU cuts by tokens, when it collates
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [rows_at_once(size) for size in sizes] == [1, 8, 16, 1, 12, 16, 16, 16]
