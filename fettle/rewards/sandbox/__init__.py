"""Where user code runs, and nowhere else: no network, no files, no other process, and an end to everything."""

from fettle.rewards.sandbox.errors import LoadError, SandboxError
from fettle.rewards.sandbox.guests import Walls
from fettle.rewards.sandbox.host import SOURCE_AT_MOST, Sandbox, SandboxResult
from fettle.rewards.sandbox.limits import Limits
from fettle.rewards.sandbox.walls import level, walls_of

__all__ = [
    "SOURCE_AT_MOST",
    "Limits",
    "LoadError",
    "Sandbox",
    "SandboxError",
    "SandboxResult",
    "Walls",
    "level",
    "walls_of",
]
