"""What the commands share: consoles, a database for the length of one command, moments as people read them."""

import asyncio
import json
import re
import time
import unicodedata
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from fettle.settings import Settings

if TYPE_CHECKING:
    from fettle.db import Database

console = Console()
uncut = Console(width=1000)  # for ids and names, which are there to be copied: a narrow terminal may wrap them
T = TypeVar("T")
KEPT = "\n\t\u200c\u200d"  # the last two join letters and emoji
UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # Unicode's categories of what moves a terminal, turns text around, or is none
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def example(*commands: str) -> str:
    """The end of a command's help: commands to copy."""
    return "\n".join(["Example:" if len(commands) == 1 else "Examples:", *(f"  {each}" for each in commands)])


def say(text: Text, out: Console = console) -> None:
    """A sentence, wrapped at the edge of a terminal; for a script it stays one line."""
    out.print(text, soft_wrap=not out.is_terminal, highlight=False)


def show_json(value: Any) -> None:
    """In which nothing is obeyed by a terminal: what is not to be seen is escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    print(
        "".join(escaped(sign) if unicodedata.category(sign) in UNSEEN and sign not in KEPT else sign for sign in text)
    )


def escaped(sign: str) -> str:
    """As JSON writes it in ASCII."""
    return json.dumps(sign)[1:-1] if ord(sign) > 0x9F else f"\\u{ord(sign):04x}"


def figure(value: float) -> str:
    """A loss or a reward in few signs: two digits after the point, or as many as a small one needs."""
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"


def with_database(settings: Settings, work: "Callable[[Database], Awaitable[T]]") -> T:
    """Raises Unavailable when the database cannot be used."""
    from sqlalchemy.exc import DBAPIError

    from fettle import migrate
    from fettle.db import DATABASE_AWAY, Database
    from fettle.errors import FettleError, Unavailable
    from fettle.host import data_folder

    data_folder.prepare(settings.data)

    async def run() -> T:
        db = Database(settings.database)
        try:
            return await work(db)
        except DATABASE_AWAY as error:
            where = db.engine.url.render_as_string(hide_password=True)
            raise Unavailable(f"The database {where} does not answer: {error}. `fettle doctor` checks it.") from error
        except DBAPIError as error:
            where = db.engine.url.render_as_string(hide_password=True)
            if (await migrate.revisions(db))[0] is None:
                raise FettleError(
                    f"The database {where} has no tables yet. Run `fettle up` or `fettle migrate`, or set FETTLE_DATA "
                    "or FETTLE_DATABASE_URL to those of a Fettle that runs."
                ) from error
            raise FettleError(
                f"The database {where} reported an error: {error.orig}. Run `fettle migrate` if you have not done so."
            ) from error
        finally:
            await db.close()

    return asyncio.run(run())


def printable(text: object) -> str:
    """What others wrote (names, messages, completions), so that no terminal obeys it: �  for what is not to be seen."""
    return "".join(sign if sign in KEPT or unicodedata.category(sign) not in UNSEEN else "�" for sign in str(text))


def plain(text: object, style: str = "") -> Text:
    """The same as Rich's text, in which brackets are no markup."""
    return Text(printable(text), style)


def inside_markup(text: object) -> str:
    """The same, to stand among our own markup."""
    return escape(printable(text))


def moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def duration(text: str) -> int:
    """Seconds in `90m`, `12h` or `30d`; a parser for typer."""
    found = re.fullmatch(r"(\d{1,9})([smhd])", text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is not a duration. Write it as 90m, 12h or 30d.")
    return int(found[1]) * SECONDS[found[2]]
