"""The result of one check of `fettle doctor`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckResult:
    """needed: when it is not ok, nothing works without it; otherwise it is a warning."""

    part: str
    ok: bool
    message: str
    needed: bool = True


def good(part: str, message: str) -> CheckResult:
    return CheckResult(part, True, message)


def warn(part: str, message: str) -> CheckResult:
    return CheckResult(part, False, message, needed=False)


def bad(part: str, message: str) -> CheckResult:
    return CheckResult(part, False, message)
