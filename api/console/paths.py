"""Paths of the console that a person types: `/learn`, where the page is at `/#/learn`."""

import re
from pathlib import Path
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.types import Scope

ROUTE = re.compile(r'^  \{ path: "(/[^"]*)"', re.MULTILINE)
LEFT_OUT = ("/", "/vote/:id", "/sign-in/:token")  # paths of their own; and a token that no server must see


def patterns() -> tuple[list[str], ...]:
    """The segments of each path in routes.js."""
    found = ROUTE.findall((Path(__file__).parent / "routes.js").read_text())
    return tuple(path[1:].split("/") for path in found if path not in LEFT_OUT)


PATTERNS = patterns()


def page_of(scope: Scope) -> str | None:
    """Where a browser finds the page; None for what is not a path of the console, and for programs."""
    if scope["method"] not in ("GET", "HEAD") or "text/html" not in Headers(scope=scope).get("accept", ""):
        return None
    given = scope["path"][1:].removesuffix("/").split("/")
    if not any(len(one) == len(given) and all(map(fits, one, given)) for one in PATTERNS):
        return None
    query = scope["query_string"].decode("latin-1")
    path = "/".join(quote(segment, safe=":@") for segment in given)
    return f"/#/{path}{'?' if query else ''}{query}"


def fits(wanted: str, given: str) -> bool:
    return given == wanted or (wanted.startswith(":") and given != "")
