"""What `fettle doctor` says about one part."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """needed: when it is not ok, nothing works without it; otherwise it is a warning."""

    part: str
    ok: bool
    says: str
    needed: bool = True


def good(part: str, says: str) -> Finding:
    return Finding(part, True, says)


def warn(part: str, says: str) -> Finding:
    return Finding(part, False, says, needed=False)


def bad(part: str, says: str) -> Finding:
    return Finding(part, False, says)
