"""What the commands share: consoles, a database for the length of one command, moments as people read them."""

import asyncio
import re
import time
import unicodedata
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

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


def with_database(settings: Settings, work: "Callable[[Database], Awaitable[T]]") -> T:
    """Raises Unavailable when the database cannot be used."""
    from sqlalchemy.exc import DBAPIError

    from fettle.db import DATABASE_AWAY, Database
    from fettle.errors import Unavailable
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
            raise Unavailable(
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
