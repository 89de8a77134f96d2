"""One error tree. Each class carries its HTTP status and code; one handler at the edge renders them all.

A message is one sentence that names the offending value and the way out.
"""

from typing import Any


class FettleError(Exception):
    """Base of everything that a user may see."""

    status = 500
    type = "server_error"
    code = "internal_error"
    retry = False  # may the same request succeed later? Sent as `x-should-retry`

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None) -> None:
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


class NotFound(FettleError):
    """Also the answer for another tenant's id."""

    status, type, code = 404, "invalid_request_error", "not_found"


class Conflict(FettleError):
    status, type, code = 409, "invalid_request_error", "conflict"


class TooLarge(FettleError):
    status, type, code = 413, "invalid_request_error", "request_too_large"


class Unavailable(FettleError):
    status, type, code, retry = 503, "server_error", "service_unavailable", True


class Fenced(Exception):
    """This worker no longer owns the job: another claim, a cancel, or an expired lease moved the fence on."""


class TrainingFailed(Exception):
    """A run that no retry can mend; becomes the job's `error`."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
