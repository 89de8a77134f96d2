"""Query parameters: what a route does not know is refused, as in bodies, and nothing is said twice."""

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from fettle.errors import InvalidRequest

DEEP_OBJECTS = {"metadata"}  # sent as name[key]=value


def refuse_unknown(request: Request) -> None:
    """Of every route. Raises InvalidRequest."""
    route = request.scope["route"]
    assert isinstance(route, APIRoute)  # noqa: S101 — only those have dependencies
    known = declared(route.dependant)
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        plain = name.partition("[")[0] if name.endswith("]") else name
        if plain not in known or (name != plain and plain not in DEEP_OBJECTS):
            raise InvalidRequest(
                f"Unknown query parameter: {name!r}. Check its spelling, or remove it.",
                code="unknown_parameter",
                param=name,
            )
        if name in seen:
            raise InvalidRequest(f"The query parameter {name!r} appears twice. Send it once.", param=name)
        seen.add(name)


def declared(dependant: Dependant) -> set[str]:
    """Names that a route and what it depends on read from the query."""
    own = {field.alias for field in dependant.query_params}
    return own.union(*(declared(inner) for inner in dependant.dependencies))
