"""How long the event loop keeps everybody waiting: measured all the time, shown in /metrics."""

import asyncio

from fettle.observability import metrics

EVERY_SECONDS = 0.025


async def watch() -> None:
    """Until it is cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + EVERY_SECONDS
        await asyncio.sleep(EVERY_SECONDS)
        metrics.loop_lag.observe(max(0.0, loop.time() - due))
