"""What `--help` shows where typer would show the type of Python: `--rows N`, and nothing for a flag."""

from typing import Any

from typer.core import TyperArgument, TyperOption

KINDS = {"str": "TEXT", "int": "N", "float": "X", "path": "PATH"}


def kind(option: Any) -> str:
    """What an option takes."""
    if getattr(option, "is_flag", False):
        return ""
    return str(option.metavar or KINDS.get(str(option.display_type(None)).strip("<>").split()[0], "VALUE"))


def install() -> None:
    """typer has no setting for this. An argument shows its name alone."""
    TyperOption.display_type_rich = lambda self, ctx: kind(self)  # type: ignore[method-assign]  # see above
    TyperArgument.display_type_rich = lambda self, ctx: ""  # type: ignore[method-assign]  # see above
