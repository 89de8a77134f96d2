"""The reference on the page of the command line. `python -m tests.commands_page` writes it anew from the commands."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from fettle.cli.help_types import kind
from fettle.cli.main import app

PAGE = Path(__file__).parent.parent / "docs" / "command-line.md"
MARK = "<!-- what follows is written by `python -m tests.commands_page` -->\n"
EVERYWHERE = {"help", "install_completion", "show_completion"}


def commands() -> Iterator[tuple[str, Any]]:
    """Each command by its words, as the help shows it."""
    root: Any = typer.main.get_command(app)
    for name, command in root.commands.items():
        inner = getattr(command, "commands", None)
        if inner is None:
            yield name, command
        else:
            yield from ((f"{name} {each}", one) for each, one in inner.items())


def section(name: str, command: Any) -> str:
    """A command's help, its arguments and options, and its examples."""
    shown = [param for param in command.params if param.name not in EVERYWHERE]
    arguments = [param for param in shown if param.param_type_name == "argument"]
    words = [f"{'' if each.required else '['}{label(each)}{'' if each.required else ']'}" for each in arguments]
    lines = [
        f"### fettle {name}",
        "",
        f"`{' '.join(['fettle', name, *words])}`",
        "",
        " ".join(command.help.split()),
        "",
    ]
    if shown:
        lines += ["| | |", "|---|---|"]
        lines += [f"| `{label(each)}` | {each.help or ''}{default(each)} |" for each in shown]
        lines.append("")
    examples = [line.strip() for line in (command.epilog or "").splitlines()[1:]]
    return "\n".join([*lines, *(f"    {each}" for each in examples), ""])


def label(param: Any) -> str:
    if param.param_type_name == "argument":
        return str(param.metavar or param.name.upper())
    return f"{', '.join(sorted(param.opts, key=len))} {kind(param)}".rstrip()


def default(param: Any) -> str:
    value = param.default
    plain = isinstance(value, int | float | str) and not isinstance(value, bool) and value != ""
    return f" Default: {value}." if plain else ""


def page(text: str) -> str:
    """The page's own text, with the reference behind the mark."""
    return text.partition(MARK)[0] + MARK + "\n" + "\n".join(section(*each) for each in commands())


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
