"""Why something failed, in words: whole in the operator's log, without internal addresses for tenants."""

import re

from sqlalchemy.exc import DBAPIError

from fettle.db import explain

LENGTH = 400  # characters that a tenant is shown
HIDDEN = "[internal address]"
SUFFIXES = "internal|local|localdomain|lan|svc|corp|intra|home|com|net|org|io|cloud|dev|example|test|invalid"
ADDRESSES = re.compile(
    r"""
      \b[a-z][a-z0-9+.-]*://[^\s"'<>]+                                # a URL
    | \barn:[^\s"'<>]+                                               # what AWS calls its resources
    | \[[0-9a-f:.]*:[0-9a-f:.]*\](?::\d+)?                           # IPv6
    | \b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b                           # IPv4
    | \b(?:[a-z0-9-]+\.)+(?:SUFFIXES)\b(?::\d+)?                     # a host with its domain
    | \b(?:localhost|[a-z][a-z0-9-]*(?=:\d{2,5}\b))(?::\d+)?         # a host with its port
    | (?<![\w/.])/(?:[\w.@+-]+/)+[\w.@+-]*                            # a path on our disks
    """.replace("SUFFIXES", SUFFIXES),
    re.VERBOSE | re.IGNORECASE,
)


def in_words(error: BaseException) -> str:
    """For the log: the message, and the statement of a query that the database refused."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return explain(error.orig, error.statement)
    return " ".join(str(error).split()) or type(error).__name__


def for_tenants(words: str) -> str:
    """One line, cut, with every address and path taken out."""
    line = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    line = ADDRESSES.sub(HIDDEN, line)
    return line if len(line) <= LENGTH else f"{line[: LENGTH - 1]}…"
