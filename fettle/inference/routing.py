"""Which engine answers a request: one that serves its base, and best one that has its adapter. Pure.

Rendezvous hashing gives every adapter an engine of its own, which changes for few of them when an engine comes or goes.
Requests spill over to the next one when the first has more than its share to do.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

SPILL_AT = 16  # requests in progress, up to which an engine is not busy: it decodes them in one batch
SPILL_OVER = 1.25  # of the mean, from which it has more than its share


@dataclass(frozen=True)
class Route:
    """An engine as it announced itself."""

    url: str
    base_models: Sequence[str]
    adapters: Sequence[str] = ()  # that it has loaded
    requests: int = 0  # in progress
    stopping: bool = False


def order(
    routes: Sequence[Route],
    base_model: str,
    adapter: str | None = None,
    *,
    mine: Mapping[str, int] | None = None,
    avoided: Collection[str] = (),
) -> list[Route]:
    """Those that serve the base, best first.

    mine: what this process has in progress, by URL; it is newer than what was announced. avoided: URLs that did not
    respond a moment ago; they and engines that stop come last.
    """
    able = [route for route in routes if base_model in route.base_models]
    load = {route.url: max(route.requests, (mine or {}).get(route.url, 0)) for route in able}
    most = max(SPILL_AT, SPILL_OVER * sum(load.values()) / max(1, len(able)))
    key = adapter or base_model

    def rank(route: Route) -> tuple[bool, bool, bool, bytes]:
        unsafe = route.url in avoided or route.stopping
        return (
            unsafe,
            load[route.url] >= most,
            adapter is not None and adapter not in route.adapters,
            weight(key, route),
        )

    return sorted(able, key=rank)


def weight(key: str, route: Route) -> bytes:
    return hashlib.sha256(f"{key}\0{route.url}".encode()).digest()
