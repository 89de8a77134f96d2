from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Per guest; `seconds` for one sample."""

    seconds: float = 120.0
    memory_bytes: int = 2 << 30
