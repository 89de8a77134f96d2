"""The OpenAPI document: FastAPI's, with the errors that are really sent and the key that is really asked for."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
EVERYWHERE = {
    "400": "The request is not valid; `param` names the field.",
    "421": "The Host header does not name this server.",
    "500": "An internal error. The log shows it under the request id.",
    "503": "The database, storage, a worker or the engine is not responding. Try again later.",
}
WITH_KEY = {
    "401": "The API key is missing or not valid.",
    "403": "The key lacks the scope that this route needs.",
    "404": "The resource does not exist, or it belongs to another project.",
}
WITH_BODY = {
    "408": "The body did not arrive in time.",
    "413": "The body is too large.",
    "507": "The server's disk is full.",
}
CHANGES = {
    "409": "The state of the resource does not allow this.",
    "429": "A quota of the project is used up.",
}
OTHERS = "Any other error, in the same form."


def install(app: FastAPI) -> None:
    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = complete(
                get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            )
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # as FastAPI's guide has it


def complete(document: dict[str, Any]) -> dict[str, Any]:
    parts = document.setdefault("components", {})
    parts["securitySchemes"] = {
        "api_key": {"type": "http", "scheme": "bearer", "description": "An API key: `fk_…`."},
    }
    schemas = parts.setdefault("schemas", {})
    schemas["Error"] = ERROR
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            needs_key = path.startswith("/v1")
            operation["security"] = [{"api_key": []}] if needs_key else []
            responses = operation["responses"]
            responses.pop("422", None)  # bodies that do not fit get a 400
            for status, words in errors_of(method, needs_key).items():
                responses.setdefault(status, answer(words))
            responses.setdefault("default", answer(OTHERS))
    return document


def errors_of(method: str, needs_key: bool) -> dict[str, str]:
    found = dict(EVERYWHERE)
    if needs_key:
        found |= WITH_KEY
    if method != "get":
        found |= WITH_BODY | CHANGES
    return dict(sorted(found.items()))


def answer(words: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {"description": words, "content": content}
