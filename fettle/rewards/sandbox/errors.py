class SandboxError(Exception):
    """The sandbox cannot be had, or user code did not load; the message is for the user."""


class LoadError(SandboxError):
    """User code did not load: its own fault."""
