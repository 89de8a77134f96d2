"""The console's session cookie: which request has one, and how it is set."""

import hmac
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from fettle.errors import Forbidden
from fettle.tenancy import sessions

SAFE_METHODS = {"GET", "HEAD"}
CSRF_HEADER = "x-csrf-token"


def name_of(scope: Scope) -> str:
    """With the port: browsers send cookies to every port of a host, and several servers may run on one machine."""
    _, _, port = Headers(scope=scope).get("host", "").rpartition(":")
    return f"fettle_session_{port}" if port.isdigit() else "fettle_session"


def secret_of(scope: Scope) -> str | None:
    """The session's secret that a request carries."""
    try:
        jar = SimpleCookie(Headers(scope=scope).get("cookie", ""))
    except CookieError:
        return None
    found = jar.get(name_of(scope))
    return found.value if found is not None and found.value else None


def set_secret(response: Response, scope: Scope, secret: str) -> None:
    response.set_cookie(
        name_of(scope),
        secret,
        max_age=sessions.SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=scope["scheme"] == "https",
    )


def clear(response: Response, scope: Scope) -> None:
    response.delete_cookie(name_of(scope), httponly=True, samesite="strict", secure=scope["scheme"] == "https")


def need_csrf_token(scope: Scope, secret: str, pepper: bytes) -> None:
    """Raises Forbidden for a change that no page of ours can have asked for."""
    if scope["method"] in SAFE_METHODS:
        return
    sent = Headers(scope=scope).get(CSRF_HEADER, "")
    if not hmac.compare_digest(sent.encode(), sessions.csrf_token(secret, pepper).encode()):
        raise Forbidden(
            "The request has a session cookie but not its 'X-CSRF-Token'. GET /session returns the token. Programs use "
            "an API key instead of a cookie.",
            code="csrf_token_invalid",
        )


def need_same_origin(scope: Scope) -> None:
    """Raises Forbidden: no page of another site signs anybody in or out."""
    headers = Headers(scope=scope)
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2] != headers.get("host"):
        raise Forbidden(f"Pages of {origin[:100]!r} cannot sign in here.", code="origin_not_allowed")
