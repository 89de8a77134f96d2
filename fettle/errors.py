"""One error tree. Each class carries its HTTP status and code; one handler at the edge renders them all.

A message is one sentence that names the offending value and the way out.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

MESSAGE_AT_MOST = 8_000  # characters: some name what a request sent


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
    """No repetition mends it: the operator must."""

    status, type, code = 507, "server_error", "disk_full"


class StorageRefused(FettleError):
    """The store answers and will not do it; no repetition mends that: the operator must."""

    status, type, code = 502, "server_error", "storage_refused"


class Fenced(Exception):
    """This worker no longer owns the job: another claim, a cancel, or an expired lease moved the fence on."""


class TrainingFailed(Exception):
    """A run that no retry can mend; becomes the job's `error`."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param


SCHEMA_CODES = {"extra_forbidden": "unknown_parameter", "missing": "missing_required_parameter"}
CARRIERS = {"body", "query", "path", "header"}  # where FastAPI says that it found a value: no part of the value's name
BRANCH = re.compile(r"(function-\w+|list|constrained-\w+)\[")  # Pydantic's name of one kind, where several would do
SHOWN = 80  # characters of an offending value


def from_schema(problems: Sequence[Mapping[str, Any]], within: tuple[str | int, ...] = ()) -> InvalidRequest:
    """Pydantic's first finding as one sentence that names the parameter and its value.

    within: where the checked value itself stands in the body.
    """
    problem = problems[0]
    kind, where, wish = problem["type"], tuple(problem["loc"]), problem["msg"].removeprefix("Value error, ")
    if where and str(where[-1]).startswith("literal["):  # one finding for each kind of value that would do: `auto`, or…
        where = where[:-1]
        wishes = [other["msg"] for other in problems if tuple(other["loc"])[:-1] == where]
        wish = " or ".join([wishes[0], *(other.removeprefix("Input should be ") for other in wishes[1:])])
    if where and where[0] in CARRIERS:
        where = where[1:]
    where = tuple(part for part in where if not (isinstance(part, str) and BRANCH.match(part)))
    name = path((*within, *where))
    if kind == "json_invalid":
        return InvalidRequest(f"The body is not JSON: {problem['ctx']['error']}.", code="invalid_json")
    if name is None:
        return InvalidRequest(
            "The body must be a JSON object, sent as 'Content-Type: application/json'.", code="invalid_json"
        )
    if kind == "extra_forbidden":
        message = f"Unknown parameter: {name!r}. Fettle refuses what it would have to ignore."
    elif kind == "missing":
        message = f"Missing required parameter: {name!r}."
    else:
        value = brief(problem.get("input"))
        shown = value if len(value) <= SHOWN else f"{value[: SHOWN - 3]}…"
        message = f"Invalid value for {name!r}: {wish}; got {shown}."
    return InvalidRequest(message, code=SCHEMA_CODES.get(kind, "invalid_value"), param=name)


def brief(value: Any) -> str:
    """Its repr; of what is large only the beginning is looked at."""
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
