"""A dry run as a person reads it: how rewards are spread, how long it took, what stands in the way, and examples."""

from typing import Any

from rich.console import Console
from rich.table import Table

from fettle.cli.terminal import figure, plain, printable, say

PROMPT_SHOWN, COMPLETION_SHOWN, FAILURE_SHOWN = 160, 600, 800  # characters


def show(found: dict[str, Any], console: Console) -> None:
    say(plain(sentence(found)), console)
    table = Table("", "mean", "spread", "lowest", "highest", box=None)
    for name, spread in (*found["scores"].items(), ("reward", found["rewards"])):
        table.add_row(plain(name), *(number(spread[column]) for column in ("mean", "std", "min", "max")))
    console.print(table)
    for example in found["examples"]:
        say(plain(f"\n{number(example['reward'])}  {scores_of(example)}", "bold"), console)
        say(plain(cut(prompt_of(example), PROMPT_SHOWN), "dim"), console)
        say(plain(cut(example["completion"], COMPLETION_SHOWN)), console)
    for failure in found["failures"]:
        who = failure["grader"] or "the engine"
        what = plain(cut(failure["message"].strip(), FAILURE_SHOWN))
        say(plain(f"\n{failure['count']} × {who}: ", "red") + what, console)
    for warning in found["warnings"]:
        say(plain("\n! ", "yellow") + plain(warning["message"]), console)


def sentence(found: dict[str, Any]) -> str:
    seconds = found["seconds"]
    parts = [
        f"{found['model']}: {found['prompts']} prompts × {found['samples']} completions of "
        f"{found['completion_length_mean']:.0f} tokens on average.",
        f"Written in {seconds['generation']:.1f} s ({seconds['generation_per_sample']:.2f} s each, several at a time), "
        f"scored in {seconds['scoring']:.1f} s ({1000 * seconds['scoring_per_sample']:.1f} ms each).",
    ]
    if found["dead_groups"] is not None:
        parts.append(f"{found['dead_groups']:.0%} of {found['groups']} groups are dead: all their rewards are equal.")
    for name, what in (("refused", "were refused by the engine"), ("unfinished", "were not done in time")):
        if found[name]:
            parts.append(f"{found[name]} completions {what}.")
    return " ".join(parts)


def scores_of(example: dict[str, Any]) -> str:
    known = [f"{name} {number(value)}" for name, value in example["scores"].items()]
    return ", ".join([*known, *(["cut off"] if example["stop_reason"] == "length" else [])])


def prompt_of(example: dict[str, Any]) -> str:
    """Its last message."""
    return str(example["prompt"][-1].get("content") or "")


def number(value: float | None) -> str:
    return "none" if value is None else figure(value)


def cut(text: str, most: int) -> str:
    shown = printable(text)
    return shown if len(shown) <= most else f"{shown[:most]}…"
