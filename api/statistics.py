"""Results of comparisons: computed once for the same votes, and one comparison at a time."""

import hashlib
from collections import OrderedDict

from api import isolation
from fettle.comparisons import results
from fettle.isolation.pool import Pool
from fettle.slots import Slots

KEPT = 64  # results, a few KB each
KEPT_BYTES = 256 << 10  # of one; larger ones, with many annotators, are computed again


class Statistics:
    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.slots = Slots(1)  # they may take a minute: the pool's other slots are for quick checks
        self.kept: OrderedDict[bytes, bytes] = OrderedDict()

    async def of(self, project_id: str, content: bytes) -> bytes:
        """What `results.compute` makes of the material. Raises InvalidRequest for what takes too long."""
        digest = hashlib.sha256(content).digest()
        if (found := self.kept.get(digest)) is not None:
            self.kept.move_to_end(digest)
            return found
        async with self.slots.of(project_id):
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
