"""Where user code runs, and nowhere else: no network, no files, no other process, and an end to everything."""

from fettle.rewards.sandbox.host import SOURCE_AT_MOST, Limits, LoadError, Sandbox, SandboxError, Verdict, level

__all__ = ["SOURCE_AT_MOST", "Limits", "LoadError", "Sandbox", "SandboxError", "Verdict", "level"]
