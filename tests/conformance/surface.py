"""What the openai SDK can send and read, and what Fettle takes and answers: read from both codes, route by route."""

import inspect
import re
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import openai.resources.fine_tuning.jobs.jobs as sdk_jobs
from fastapi.routing import APIRoute
from openai import OpenAI
from openai._resource import SyncAPIResource
from openai.types.fine_tuning.job_create_params import JobCreateParams
from pydantic import BaseModel
from typing_extensions import is_typeddict

from api.app import create_app
from api.queries import declared
from api.schemas.job import AnyMethod
from fettle import methods
from fettle.inference.requests.chat import SALT, Unneeded
from fettle.settings import Settings
from worker.engine.completion_schema import CompletionRequest
from worker.engine.schemas import ChatRequest

VERBS = {"get_api_list": "GET"}
SENT_BESIDE = {"self", "extra_headers", "extra_query", "extra_body", "timeout", "security"}
CALLED = re.compile(r'self\._(get|post|delete|put|patch|get_api_list)\(\s*(?:path_template\(\s*)?f?"([^"?]+)')
FORMS = {
    "POST /v1/files": {"file", "purpose", "expires_after"},
    "POST /v1/uploads/{upload_id}/parts": {"data"},
    "POST /v1/comparisons/{comparison_id}/import": {"file", "annotator", "format", "prompt_key"},
}  # multipart, which no schema describes
CHAT, COMPLETIONS, RESPONSES = "POST /v1/chat/completions", "POST /v1/completions", "POST /v1/responses"
ENGINES: dict[str, type[BaseModel]] = {CHAT: ChatRequest, COMPLETIONS: CompletionRequest}  # whose bodies it judges
CREATE = "POST /v1/fine_tuning/jobs"
BUILT_IN = ("/openapi.json", "/docs")  # FastAPI's


@dataclass(frozen=True)
class SdkRoute:
    name: str  # files.create
    route: str  # POST /v1/files
    parameters: tuple[str, ...]  # of query and body; nested ones with dots


@cache
def sdk_routes() -> list[SdkRoute]:
    return sorted(walk(OpenAI(api_key="none", base_url="http://127.0.0.1:1"), ""), key=lambda route: route.name)


def walk(resource: object, name: str) -> Iterator[SdkRoute]:
    for attribute, member in inspect.getmembers(type(resource)):
        if attribute.startswith(("_", "with_")):
            continue
        if inspect.isfunction(member):
            source = inspect.getsource(inspect.unwrap(member))
            if isinstance(resource, SyncAPIResource) and (called := CALLED.search(source)):
                yield sdk_route(f"{name}{attribute}", member, source, called)
        elif isinstance(inner := getattr(resource, attribute, None), SyncAPIResource):
            yield from walk(inner, f"{name}{attribute}.")


def sdk_route(name: str, method: Any, source: str, called: re.Match[str]) -> SdkRoute:
    verb, path = called.groups()
    named = re.search(r'method="(\w+)"', source)
    verb = named[1].upper() if named else VERBS.get(verb, verb.upper())
    in_path = set(re.findall(r"{(\w+)}", path))
    parameters = [p for p in inspect.signature(method).parameters if p not in SENT_BESIDE | in_path]
    if name == "fine_tuning.jobs.create":
        parameters = list(typed(JobCreateParams, vars(sdk_jobs)["job_create_params"].__dict__))
    return SdkRoute(name, f"{verb} /v1{path}", tuple(parameters))


def typed(shape: Any, names: dict[str, Any], within: str = "") -> Iterator[str]:
    """Every field of a TypedDict, those of TypedDicts in it as well."""
    hints = typing.get_type_hints(shape, names, include_extras=False)
    for field, hint in hints.items():
        yield within + field
        for inner in inside(hint):
            if is_typeddict(inner) and "grader" not in field:
                module = inspect.getmodule(inner)
                yield from typed(inner, vars(module), f"{within}{field}.")


def inside(hint: Any) -> Iterator[Any]:
    yield hint
    for argument in typing.get_args(hint):
        yield from inside(argument)


@dataclass(frozen=True)
class Route:
    """One of ours."""

    route: str  # POST /v1/files
    summary: str
    parameters: frozenset[str]


@cache
def routes() -> dict[str, Route]:
    """By verb and path with nameless ids, as `same_path` makes them."""
    found = {}
    for made in flat(create_app(Settings()).routes):
        if made.path.startswith(BUILT_IN) or not isinstance(made, APIRoute):
            continue
        for verb in made.methods:
            route = f"{verb} {made.path.replace(':path', '')}"
            summary = (made.description or "").strip().partition("\n")[0]
            found[same_path(route)] = Route(route, summary, frozenset(taken(route, made)))
    return found


def flat(given: list[Any]) -> Iterator[Any]:
    for route in given:
        if hasattr(route, "original_router"):  # FastAPI's wrapper of an included router
            yield from flat(route.original_router.routes)
        else:
            yield route


def taken(route: str, made: APIRoute) -> Iterator[str]:
    yield from declared(made.dependant)
    yield from FORMS.get(route, ())
    for body in made.dependant.body_params:
        yield from fields(body.field_info.annotation)
    if route in ENGINES:
        yield from (name for name in fields(ENGINES[route]) if name != SALT)  # which the API sets, and refuses


def fields(model: Any, within: str = "") -> Iterator[str]:
    for optional in typing.get_args(model):  # a body that may be left out
        if inspect.isclass(optional) and issubclass(optional, BaseModel):
            yield from fields(optional, within)
    for name, field in getattr(model, "model_fields", {}).items():
        known = field.alias or name
        yield within + known
        for inner in inside(field.annotation):
            for each in {spec.request: None for spec in methods.METHODS.values()} if inner is AnyMethod else (inner,):
                if inspect.isclass(each) and issubclass(each, BaseModel):
                    yield from fields(each, f"{within}{known}.")


def same_path(route: str) -> str:
    return re.sub(r"{\w+}", "{}", route)


def status(ours: Route, name: str) -> str:
    """same · no effect · refused; of a parameter that the SDK can send."""
    if (ours.route, name) in ((RESPONSES, "reasoning"), (CHAT, "reasoning_effort")):
        return "no effect"
    if name in ("store", "metadata") and ours.route in (CHAT, RESPONSES):
        return "same"
    if name.partition(".")[0] in Unneeded.model_fields and ours.route in (CHAT, COMPLETIONS, RESPONSES):
        return "no effect"
    return "same" if name in ours.parameters else "refused"


def listed(ours: Route, theirs: SdkRoute) -> list[tuple[str, str]]:
    """(parameter, status) of everything that the SDK can send or we take. Parts of what is refused, or of what our
    schema takes whole, have no line of their own."""
    rows = [(name, status(ours, name)) for name in theirs.parameters]
    whole = [name for name, _ in rows if not any(own.startswith(f"{name}.") for own in ours.parameters)]
    rows = [row for row in rows if not any(row[0].startswith(f"{name}.") for name in whole)]
    nested = ours.route == CREATE  # elsewhere the SDK's signature has the outermost names alone
    own = sorted(name for name in ours.parameters - set(theirs.parameters) if nested or "." not in name)
    return rows + [(name, "extended") for name in own]
