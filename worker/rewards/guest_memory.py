"""The memory of all user code that runs for a worker: several requests and jobs share one limit."""

import asyncio
import os

import structlog

from fettle.rewards.sandbox import memory

log = structlog.get_logger()

BUSY_SECONDS, IDLE_SECONDS = 0.1, 0.25  # between two looks, with several processes of user code and without


async def watch(limit: int) -> None:
    """For ever. Ends the largest process of user code while all of them take more bytes than the limit."""
    while True:
        found = await asyncio.to_thread(memory.guests, os.getpid())
        for ended in memory.end_largest(found, limit):
            log.warning("user_code_ended", why="memory", resident_bytes=ended.resident, limit_bytes=limit)
        await asyncio.sleep(BUSY_SECONDS if len(found) > 1 else IDLE_SECONDS)
