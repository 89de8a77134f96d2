"""The console at `/`: one page and its modules. Every byte comes from this package."""

import time

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.console import assets
from api.console.assets import Console, Content
from fettle.errors import NotFound

router = APIRouter(tags=["console"], include_in_schema=False)

FILES = "/console/{version}/{name:path}"
CHECK_SECONDS = 1  # between looks at 150 files for a change
FOR_EVER = "public, max-age=31536000, immutable"
ASK_FIRST = "no-cache"  # kept, and asked for by ETag before each use


def current(request: Request) -> Console:
    """Read again after a change, so that a developer only has to reload the page."""
    state = request.app.state
    loaded: Console | None = getattr(state, "console", None)
    if loaded is not None and time.monotonic() - state.console_checked < CHECK_SECONDS:
        return loaded
    if loaded is None or loaded.newest != assets.newest_change():
        loaded = state.console = assets.load()
    state.console_checked = time.monotonic()
    return loaded


@router.get("/")
@router.get("/vote/{comparison_id}")
async def page(request: Request) -> Response:
    console = current(request)
    headers = {
        "content-security-policy": console.policy,
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
    }
    return answer(request, console.page, ASK_FIRST, headers)


async def file(request: Request) -> Response:
    """A page from before an update asks for an older version and gets the file of today.

    A route of Starlette's, which has no dependencies to resolve: the first paint waits for these files.
    """
    version, name = request.path_params["version"], request.path_params["name"]
    console: Console = getattr(request.app.state, "console", None) or current(request)
    found = console.files.get(name)
    if found is None:
        raise NotFound(f"The console has no file {name[:200]!r}.")
    return answer(request, found, FOR_EVER if version == console.version else ASK_FIRST, {})


router.add_route(FILES, file, include_in_schema=False)


def answer(request: Request, content: Content, caching: str, headers: dict[str, str]) -> Response:
    headers = {**headers, "etag": content.etag, "cache-control": caching, "vary": "accept-encoding"}
    if request.headers.get("if-none-match") == content.etag:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        return Response(content.packed, headers=headers, media_type=content.kind)
    return Response(content.body, headers=headers, media_type=content.kind)
