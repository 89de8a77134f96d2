"""Which names this server answers to.

A page in a browser can make its own name resolve to 127.0.0.1 and then speak to what listens there (DNS rebinding):
on loopback only names of this machine are wait_for_answer, and names without a dot, which nobody can register: those of
/etc/hosts and of containers. FETTLE_ALLOWED_HOSTS names others, such as a proxy's.
"""

import ipaddress

from starlette.datastructures import Headers
from starlette.types import Scope

from fettle.errors import Misdirected

LISTENS_LOCALLY = ("localhost", "127.0.0.1", "::1")


def check(scope: Scope) -> None:
    """Raises Misdirected."""
    settings = scope["app"].state.settings
    host = Headers(scope=scope).get("host")
    if host is None or "*" in settings.hosts:
        return
    name = name_of(host)
    if settings.hosts:
        allowed = name in settings.hosts or local(name)
    else:
        allowed = not arrived_on_loopback(scope) or settings.host not in LISTENS_LOCALLY or local(name)
    if not allowed:
        raise Misdirected(
            f"This server does not accept requests for the host {name[:100]!r}. Use localhost, or add the name to "
            "FETTLE_ALLOWED_HOSTS."
        )


def name_of(host: str) -> str:
    """The Host header without its port, in lower case."""
    name = host.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.rpartition(":")[0] if name.count(":") == 1 else name


def arrived_on_loopback(scope: Scope) -> bool:
    server = scope.get("server")
    return server is not None and local(str(server[0]))


def local(name: str) -> bool:
    """Whether no page on the internet can have this name."""
    name = name.removesuffix(".")
    if name and ("." not in name or name.endswith(".localhost")):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
