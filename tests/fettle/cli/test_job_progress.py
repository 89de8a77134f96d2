"""A job's progress in a terminal of 80 columns."""

import io
from typing import Any

from rich.console import Console

from fettle.cli import job_progress


def metrics(step: int, **data: float) -> dict[str, Any]:
    return {"type": "metrics", "level": "info", "message": "", "data": {"step": step, "total_steps": 1000, **data}}


def last_line(*events: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    job_progress.watch(events, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().replace("\x1b[2K", "").split("\r")[-1].splitlines()[0]


def test_the_count_is_never_cut_off_by_what_stands_beside_it() -> None:
    said = last_line(
        metrics(
            999, train_reward_mean=1.08, **{"rewards/answer_correct/mean": 0.88, "rewards/think_format/mean": 0.99}
        ),
        metrics(1000, valid_reward_mean=1.15),
    )
    assert said.startswith("1000/1000 ")
    assert "reward 1.08  valid reward 1.15" in said
    assert "think_format" not in said


def test_a_supervised_job_shows_its_losses() -> None:
    said = last_line(metrics(3, train_loss=0.5, train_mean_token_accuracy=0.9), metrics(4, valid_loss=0.4))
    assert "loss 0.50" in said
    assert "valid loss 0.40" in said
