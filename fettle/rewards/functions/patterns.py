"""Patterns that a request brings, compiled: by the `regex` package, whose searches can be ended.

It writes a repetition's least count out: ten characters of pattern could take gigabytes of whoever compiles it.
"""

import re
from math import prod

import regex

SECONDS = 0.1  # of a search
WRITTEN_OUT_AT_MOST = 100_000  # about 300 bytes each
LEAST = re.compile(r"\{\s*(\d+)")
OF_GROUPS = (
    ")}+*?"  # what stands before a count that repeats more than one character; so may space, in verbose patterns
)


class BadPattern(ValueError):
    """It cannot be read, or is too large."""


def compiled(pattern: str, flags: int = 0) -> "regex.Pattern[str]":
    """Raises BadPattern."""
    if written_out(pattern) > WRITTEN_OUT_AT_MOST:
        raise BadPattern(f"its repeat counts add up to more than {WRITTEN_OUT_AT_MOST:,} times. Use smaller counts")
    try:
        return regex.compile(pattern, flags)
    except RecursionError as error:
        raise BadPattern("it is nested too deeply") from error
    except (regex.error, KeyError, ValueError, OverflowError) as error:
        raise BadPattern(str(error)) from error


def written_out(pattern: str) -> int:
    """How many items it has when every count is written out, at most: as if all groups stood in one another."""
    singles, groups = len(pattern), [1]
    for count in LEAST.finditer(pattern):
        least = int(count[1]) if len(count[1]) < 10 else WRITTEN_OUT_AT_MOST + 1
        before = pattern[count.start() - 1 : count.start()]
        if before in OF_GROUPS or before.isspace():
            groups.append(max(1, least))
        else:
            singles += least
    return singles * prod(groups)
