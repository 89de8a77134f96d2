"""A job's events as a person watches them: messages, and one live bar with the loss."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

SIGNS = {"info": "[dim]·[/]", "warn": "[yellow]![/]", "error": "[red]✗[/]"}
SHOWN = {  # short, so that it fits into 80 columns
    "train_reward_mean": "reward",
    "valid_reward_mean": "valid reward",
    "train_loss": "loss",
    "train_mean_token_accuracy": "acc",
    "valid_loss": "valid loss",
    "valid_mean_token_accuracy": "acc",
}


def watch(events: Iterable[dict[str, Any]], console: Console) -> None:
    """Shows events (oldest first) until there are no more."""
    bar = Progress(
        MofNCompleteColumn(),
        BarColumn(bar_width=20),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[shown]}"),
        console=console,
    )
    latest: dict[str, float] = {}
    task = None
    with bar:
        for event in events:
            if event["type"] != "metrics":
                bar.console.print(SIGNS[event["level"]], Text(event["message"]), soft_wrap=True)
                continue
            data = event["data"]
            latest |= {name: data[name] for name in SHOWN if name in data}
            shown = "  ".join(f"[dim]{SHOWN[name]}[/] {value:.2f}" for name, value in latest.items())
            if task is None:
                task = bar.add_task("", total=data["total_steps"], shown=shown)
            bar.update(task, completed=data["step"], shown=shown)
