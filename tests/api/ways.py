"""Every way into the application, read from its routes."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from fastapi.routing import APIRoute

from api.app import create_app
from api.edge.middleware import OPEN_FOLDERS, OPEN_PATHS
from fettle.settings import Settings


class Way(NamedTuple):
    method: str
    path: str
    names: tuple[str, ...]  # of the ids in the path

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def ways(routes: list[Any]) -> Iterator[Way]:
    for route in routes:
        if hasattr(route, "original_router"):  # FastAPI's wrapper of an included router
            yield from ways(route.original_router.routes)
            continue
        names = tuple(route.param_convertors)
        path = route.path_format if isinstance(route, APIRoute) else route.path
        yield from (Way(method, path, names) for method in sorted(route.methods))


SAME_FOR_ALL = {
    "/v1/workers",
    "/v1/engines",
    "/v1/webhook_event_types",
    "/v1/audit_logs",
}  # tenants may not read the last
WAYS = list(ways(create_app(Settings()).routes))
GUARDED = [way for way in WAYS if way.path not in OPEN_PATHS and not way.path.startswith(OPEN_FOLDERS)]
WITH_ID = [way for way in GUARDED if way.names]
LISTS = [way for way in GUARDED if way.method == "GET" and not way.names and way.path not in SAME_FOR_ALL]
