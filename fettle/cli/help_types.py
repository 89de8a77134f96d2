"""Where typer shows types of Python or words of pydantic: `--rows N` in help, "Use a whole number" in an error."""

from typing import Any

import typer
from pydantic import ValidationError
from typer.core import TyperArgument, TyperOption

from fettle.schemas import phrases

KINDS = {"str": "TEXT", "int": "N", "float": "X", "path": "PATH"}


def kind(option: Any) -> str:
    """What an option takes."""
    if getattr(option, "is_flag", False):
        return ""
    return str(option.metavar or KINDS.get(str(option.display_type(None)).strip("<>").split()[0], "VALUE"))


def in_plain_words(refused: typer.BadParameter) -> None:
    """What an option or argument refuses: the value, and what to use instead."""
    if isinstance(refused.__cause__, ValidationError):
        first = refused.__cause__.errors()[0]
        refused.message = f"{str(first['input'])!r}. {phrases.advice([first])}"


def speak_plainly(parameter: Any) -> None:
    original = parameter.handle_parse_result

    def read(self: Any, *given: Any, **named: Any) -> Any:
        try:
            return original(self, *given, **named)
        except typer.BadParameter as refused:
            in_plain_words(refused)
            raise

    parameter.handle_parse_result = read


def install() -> None:
    """typer has no setting for this. An argument shows its name alone."""
    for parameter in (TyperOption, TyperArgument):
        speak_plainly(parameter)
    TyperOption.display_type_rich = lambda self, ctx: kind(self)  # type: ignore[method-assign]  # see above
    TyperArgument.display_type_rich = lambda self, ctx: ""  # type: ignore[method-assign]  # see above
