from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol


class Missing(Exception):
    """No object has this key."""


class Trouble(Exception):
    """`key` names the object, `words` are the store's own; they may hold internal addresses."""

    def __init__(self, key: str, words: str = "no answer") -> None:
        super().__init__(f"{key}: {words}")
        self.key, self.words = key, words


class Away(Trouble):
    """The store does not answer, or says that it is overloaded: the same call may succeed later."""


class Refused(Trouble):
    """The store answers, and will not do it: no permission, no room, no such bucket. No retry solves that."""


class Storage(Protocol):
    """Keys are made by us, `/`-separated, never a client's name. An object is visible whole or not at all.

    Every method may raise Away and Refused.
    """

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> int:
        """Stores a stream and returns its size in bytes; nothing is visible when the stream raises."""
        ...

    async def put_file(self, key: str, path: Path, *, keep: bool = True) -> None:
        """keep=False gives the file up: it may be moved instead of copied."""
        ...

    async def get_file(self, key: str, path: Path) -> None:
        """Raises Missing."""
        ...

    def stream(self, key: str) -> AsyncIterator[bytes]:
        """The object in chunks; raises Missing before the first."""
        ...

    async def read(self, key: str) -> bytes:
        """A small object whole; raises Missing."""
        ...

    async def sizes(self, prefix: str) -> dict[str, int]:
        """Keys below a prefix, sorted, and the bytes of each object."""
        ...

    async def list(self, prefix: str) -> list[str]:
        """Keys below a prefix, sorted."""
        ...

    async def presign(self, key: str, seconds: int) -> str | None:
        """A URL that gives the object to whoever holds it, for so long; None where storage has no such thing."""
        ...

    async def delete(self, prefix: str) -> None:
        """Deletes the object with this key and all below it; it is fine if there is nothing to delete."""
        ...
