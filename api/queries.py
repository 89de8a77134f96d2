"""Query parameters: what a route does not know is refused, as in bodies, and nothing is said twice."""

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from fettle.errors import InvalidRequest
from fettle.schemas.labels import LABELS_AT_MOST

DEEP_OBJECTS = {"metadata"}  # sent as name[key]=value


async def refuse_unknown(request: Request) -> None:
    """Of every route. Raises InvalidRequest. It awaits nothing: FastAPI runs what is not async in a thread."""
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


def labels(request: Request) -> dict[str, str]:
    """What `metadata[k]=v` asks for. Raises InvalidRequest for more than anything has."""
    begin, end = "metadata[", "]"
    found = {
        name[len(begin) : -len(end)]: value for name, value in request.query_params.items() if name.startswith(begin)
    }
    if len(found) > LABELS_AT_MOST:
        raise InvalidRequest(
            f"{len(found)} metadata filters were sent; {LABELS_AT_MOST} labels are the most that anything has. Send "
            "fewer.",
            param="metadata",
        )
    return found


def declared(dependant: Dependant) -> set[str]:
    """Names that a route and what it depends on read from the query."""
    own = {field.alias for field in dependant.query_params}
    return own.union(*(declared(inner) for inner in dependant.dependencies))
