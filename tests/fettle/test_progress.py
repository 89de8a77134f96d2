"""What a person sees of a job's metrics."""

import io
from typing import Any

from rich.console import Console

from fettle.progress import labels, watch


def metrics(step: int, **data: float) -> dict[str, Any]:
    return {"type": "metrics", "data": {"step": step, "total_steps": 30, **data}}


def test_of_a_run_that_is_shown_answers_the_loss_counts() -> None:
    known = {"train_loss": 0.5, "train_mean_token_accuracy": 0.9, "grad_norm": 1.0}
    assert labels(known) == {"train_loss": "loss", "train_mean_token_accuracy": "acc"}


def test_of_a_run_that_earns_rewards_each_function_counts_and_the_loss_does_not() -> None:
    known = {"train_loss": 0.0, "train_reward_mean": 1.1, "rewards/think_format/mean": 0.9, "rewards/short/std": 0.1}
    assert labels(known) == {"train_reward_mean": "reward", "rewards/think_format/mean": "think_format"}


def test_rewards_fit_into_eighty_columns() -> None:
    screen = io.StringIO()
    step = metrics(
        30, train_reward_mean=1.13, **{"rewards/answer_correct/mean": 0.95, "rewards/think_format/mean": 0.98}
    )
    watch([step], Console(file=screen, width=80, force_terminal=True, color_system=None))
    assert "reward 1.13  answer_correct 0.95  think_format 0.98" in screen.getvalue()
