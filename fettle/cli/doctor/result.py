"""What `fettle doctor` says about one part."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckResult:
    """needed: when it is not ok, nothing works without it; otherwise it is a warning."""

    part: str
    ok: bool
    says: str
    needed: bool = True


def good(part: str, says: str) -> CheckResult:
    return CheckResult(part, True, says)


def warn(part: str, says: str) -> CheckResult:
    return CheckResult(part, False, says, needed=False)


def bad(part: str, says: str) -> CheckResult:
    return CheckResult(part, False, says)
