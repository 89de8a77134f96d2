"""What a proxy in front says about a request: the client's address and scheme, and the person who signed in there."""

import os
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from fettle.errors import InvalidRequest

PERSON_AT_MOST = 200  # characters


class Proxies:
    """Notes who is at the other end of the connection, before X-Forwarded-For replaces that address.

    uvicorn's own option does only the second, and then nobody knows who sent the headers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.forwarded = ProxyHeadersMiddleware(app, os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1"))  # type: ignore[arg-type]  # uvicorn has ASGI types of its own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        scope.setdefault("state", {})["peer"] = client[0] if client else None
        await self.forwarded(scope, receive, send)  # type: ignore[arg-type]  # likewise


def person_of(scope: Scope) -> str | None:
    """The person whom a trusted proxy names. None without one: the header of anybody else is ignored.

    Raises InvalidRequest.
    """
    settings = scope["app"].state.settings
    if settings.proxy_user_header is None or not trusted(scope["state"].get("peer"), settings.proxy_networks):
        return None
    values = Headers(scope=scope).getlist(settings.proxy_user_header)
    if len(values) > 1:  # the proxy's own and one that the client sent
        raise InvalidRequest(
            f"The request has the header {settings.proxy_user_header!r} {len(values)} times. Configure the proxy to "
            "replace the header of a client.",
            code="proxy_user_header_repeated",
        )
    person = values[0].encode("latin-1").decode(errors="replace").strip() if values else ""
    if len(person) > PERSON_AT_MOST or not person.isprintable():
        raise InvalidRequest(
            f"The header {settings.proxy_user_header!r} must be a name of at most {PERSON_AT_MOST} printable "
            f"characters. The proxy sent {person[:40]!r}.",
            code="proxy_user_header_invalid",
        )
    return person or None


def trusted(peer: str | None, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    try:
        address = ip_address(peer or "")
    except ValueError:  # a Unix socket has no address
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return any((mapped or address) in network for network in networks)
