"""One error tree. Each class carries its HTTP status and code; one handler at the edge renders them all.

A message is one sentence that names the offending value and the way out.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Any

from fettle.schemas import phrases

MESSAGE_AT_MOST = 8_000  # characters: some name what a request sent


NO_ANSWER = {  # httpx's errors, which often have no text; by name, since not all who import this module import httpx
    "ConnectTimeout": "no connection in time",
    "PoolTimeout": "no free connection in time",
    "ReadTimeout": "no answer in time",
    "WriteTimeout": "it did not take the request in time",
    "ReadError": "it closed the connection",
    "RemoteProtocolError": "it closed the connection",
    "WriteError": "it closed the connection",
}


class FettleError(Exception):
    """Base of everything that a user may see."""

    status = 500
    type = "server_error"
    code = "internal_error"
    retry = False  # may the same request succeed later? Sent as `x-should-retry`
    retry_after: int | None = None  # seconds; sent as `Retry-After`

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None) -> None:
        if len(message) > MESSAGE_AT_MOST:
            message = f"{message[:MESSAGE_AT_MOST]}…"
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.param = param

    def body(self) -> dict[str, Any]:
        """OpenAI's error shape."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class InvalidRequest(FettleError):
    status, type, code = 400, "invalid_request_error", "invalid_value"


class Unauthenticated(FettleError):
    status, type, code = 401, "invalid_request_error", "invalid_api_key"


class Forbidden(FettleError):
    """The key is good, but not for this."""

    status, type, code = 403, "invalid_request_error", "insufficient_scope"


class NotFound(FettleError):
    """Also the answer for another tenant's id."""

    status, type, code = 404, "invalid_request_error", "not_found"


class TooSlow(FettleError):
    """The client stopped sending."""

    status, type, code, retry = 408, "invalid_request_error", "request_timeout", True


class Conflict(FettleError):
    status, type, code = 409, "invalid_request_error", "conflict"


class TooLarge(FettleError):
    status, type, code = 413, "invalid_request_error", "request_too_large"


class Misdirected(FettleError):
    """The request was meant for another server."""

    status, type, code = 421, "invalid_request_error", "host_not_allowed"


class QuotaExceeded(FettleError):
    """The project uses what it may use; a retry within seconds does not help."""

    status, type, code = 429, "insufficient_quota", "quota_exceeded"

    def __init__(self, message: str, *, retry_after: int, param: str | None = None) -> None:
        super().__init__(message, param=param)
        self.retry_after = retry_after


class RateLimited(FettleError):
    """Too many requests in a short time; a retry within seconds helps."""

    status, type, code, retry = 429, "invalid_request_error", "rate_limit_exceeded", True

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(FettleError):
    status, type, code, retry = 503, "server_error", "service_unavailable", True


class DiskFull(FettleError):
    """A retry does not help; the operator must act."""

    status, type, code = 507, "server_error", "disk_full"


class StorageRefused(FettleError):
    """The store answers and will not do it; a retry does not help; the operator must act."""

    status, type, code = 502, "server_error", "storage_refused"


class Fenced(Exception):
    """This worker no longer owns the job: another claim, a cancel, or an expired lease moved the fence on."""


class TrainingFailed(Exception):
    """A run that no retry can save; becomes the job's `error`."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param


SCHEMA_CODES = {"extra_forbidden": "unknown_parameter", "missing": "missing_required_parameter"}
CARRIERS = {"body", "query", "path", "header"}  # where FastAPI found a value: not a part of the value's name
# Pydantic's name of one kind of value, where a parameter takes several
KIND = re.compile(
    r"(literal|function-\w+|list|dict|tuple|set|constrained-\w+|lax-or-strict|nullable)\[.*|constrained-\w+|"
    r"int|float|str|bool|none|any|is-instance\[.*"
)
SHOWN = 80  # characters of an offending value


def from_schema(
    problems: Sequence[Mapping[str, Any]], within: tuple[str | int, ...] = (), tags: Collection[str] = ()
) -> InvalidRequest:
    """Pydantic's first problem as sentences that name the parameter, its value and the way out.

    within: where the checked value is in the body. tags: values of `type` by which schemas choose among objects.
    """
    problem, same = worst(problems)
    kind, where = problem["type"], tuple(problem["loc"])
    if where and where[0] in CARRIERS:
        where = where[1:]
    where = tuple(part for part in where if not is_kind(part) and part not in tags)
    name = path((*within, *where))
    if kind == "json_invalid":
        return InvalidRequest(f"The body is not JSON: {problem['ctx']['error']}.", code="invalid_json")
    if kind == "union_tag_not_found":
        kind, name = "missing", path((*within, *where, "type"))
    if name is None and kind == "value_error":  # about several parameters at once
        return InvalidRequest(phrases.advice(same))
    if name is None:
        return InvalidRequest(
            "The body must be a JSON object, sent as 'Content-Type: application/json'.", code="invalid_json"
        )
    if kind == "extra_forbidden":
        message = f"Unknown parameter: {name!r}. Check its spelling, or remove it."
    elif kind == "missing":
        message = f"Missing required parameter: {name!r}."
    else:
        value = brief(problem.get("input"))
        shown = value if len(value) <= SHOWN else f"{value[: SHOWN - 1]}…"
        message = f"Invalid value for {name!r}: {shown}. {phrases.advice(same)}"
    return InvalidRequest(message, code=SCHEMA_CODES.get(kind, "invalid_value"), param=name)


def worst(problems: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    """The problem to report, and all that concern the same value: there is one for each kind of value that would do.

    Where the value is of one of these kinds, what is wrong inside of it is what to report.
    """
    first = problems[0]
    where = tuple(first["loc"])
    if not where or not is_kind(where[-1]):
        return first, [first]
    parent = where[:-1]
    inside = [each for each in problems if each["loc"][: len(parent)] == parent and len(each["loc"]) > len(parent) + 1]
    if inside:
        return worst(inside)
    same = [each for each in problems if tuple(each["loc"])[:-1] == parent]
    if any(each["type"] not in WRONG_KIND for each in same):  # of the right kind: say nothing of the other kinds
        same = [each for each in same if each["type"] == "literal_error" or each["type"] not in WRONG_KIND]
    return same[0], same


WRONG_KIND = frozenset({"literal_error", "none_required"} | phrases.PHRASES.keys() - {"finite_number"})


def is_kind(part: object) -> bool:
    return isinstance(part, str) and KIND.fullmatch(part) is not None


def brief(value: Any) -> str:
    """As JSON, with single quotes; of what is large only the beginning is looked at."""
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    if isinstance(value, str | bytes):
        return repr(value[: SHOWN + 1])
    if isinstance(value, dict):
        first = islice(value.items(), SHOWN)
        return "{" + ", ".join(f"{brief(key)}: {brief(each)}" for key, each in first) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(brief, islice(value, SHOWN))) + "]"
    return repr(value)


def path(location: tuple[str | int, ...]) -> str | None:
    """As people write it: messages[0].role"""
    parts = (part for part in location if part != "[key]")
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".") or None


def no_answer(error: Exception) -> str:
    """Why a server did not answer, in words: of httpx's errors, and of what the system says beneath them."""
    return NO_ANSWER.get(type(error).__name__) or re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or "no answer"
