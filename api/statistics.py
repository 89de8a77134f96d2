"""Results of comparisons: computed in a process that keeps their libraries, and once for the same votes."""

import hashlib
from collections import OrderedDict

from api import isolation
from fettle.comparisons import results
from fettle.isolation.pool import Pool

KEPT = 64  # results, a few KB each
KEPT_BYTES = 256 << 10  # of one; larger ones, with many annotators, are computed again


class Statistics:
    """Its process starts with the first results that somebody asks for; most projects never do."""

    def __init__(self) -> None:
        self.pool = Pool(libraries=results.LIBRARIES)
        self.kept: OrderedDict[bytes, bytes] = OrderedDict()

    async def of(self, project_id: str, content: bytes) -> bytes:
        """What `results.compute` makes of the material. Raises InvalidRequest for what takes too long."""
        digest = hashlib.sha256(content).digest()
        if (found := self.kept.get(digest)) is not None:
            self.kept.move_to_end(digest)
            return found
        found = await isolation.run(
            self.pool,
            "comparison_results",
            project_id,
            "comparison_id",
            content=content,
            seconds=results.SECONDS,
            memory=results.MEMORY,
        )
        if len(found) <= KEPT_BYTES:
            self.kept[digest] = found
            while len(self.kept) > KEPT:
                self.kept.popitem(last=False)
        return found

    async def close(self) -> None:
        await self.pool.close()
