"""A job's events as a person watches them: messages, and one live bar with the loss, or with the rewards."""

from collections.abc import Iterable, Iterator
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fettle.cli.terminal import figure, inside_markup, plain
from fettle.methods import METHODS
from fettle.methods.spec import REWARDS

SIGNS = {"info": "[dim]·[/]", "warn": "[yellow]![/]", "error": "[red]✗[/]"}
SHOWN = {name: label for spec in METHODS.values() for name, label in spec.labels.items() if name not in REWARDS}
BAR = 36  # columns of the terminal: counts, bar, time and the gaps between them


def watch(events: Iterable[dict[str, Any]], console: Console) -> None:
    """Shows events (oldest first) until there are no more."""
    bar = Progress(
        MofNCompleteColumn(),
        BarColumn(bar_width=12),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[shown]}"),
        console=console,
    )
    latest: dict[str, float] = {}
    task = None
    with bar:
        for event in events:
            if event["type"] != "metrics":
                sign = SIGNS.get(event["level"], SIGNS["info"])
                bar.console.print(sign, plain(event["message"]), soft_wrap=not console.is_terminal)
                continue
            data = event["data"]
            latest |= {label: data[name] for name, label in labels(data).items()}
            shown = "  ".join(fitting(latest, console.width - BAR))
            if task is None:
                task = bar.add_task("", total=data["total_steps"], shown=shown)
            bar.update(task, completed=data["step"], shown=shown)


def fitting(latest: dict[str, float], room: int) -> Iterator[str]:
    """As many as there is room for; a whole reward before its parts."""
    for label, value in sorted(latest.items(), key=lambda each: each[0] not in REWARDS.values()):
        room -= cell_len(f"{label} {figure(value)}  ")
        if room >= 0:
            yield f"[dim]{inside_markup(label)}[/] {figure(value)}"


def labels(data: dict[str, Any]) -> dict[str, str]:
    """The metrics to show, as they are called there; of a reward function its own name."""
    if "train_reward_mean" not in data and "valid_reward_mean" not in data:
        return {name: label for name, label in SHOWN.items() if name in data}
    known = {name: label for name, label in REWARDS.items() if name in data}
    functions = [name for name in data if name.startswith("rewards/") and name.endswith("/mean")]
    return known | {name: name.removeprefix("rewards/").removesuffix("/mean") for name in functions}
