"""Waiting for what a worker answers to a request to grade."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from api.deps import Services
from fettle.errors import Unavailable
from models import Grading

LOOK_SECONDS = 0.05


async def wait_for_answer(services: Services, create: Callable[[AsyncSession], Awaitable[Grading]]) -> dict[str, Any]:
    """What a worker says to what `create` asks. Raises Unavailable when none says anything in time."""
    async with services.db.transaction() as session:
        grading = await create(session)
    await services.doorbell.ring(grading.id)
    deadline = time.monotonic() + services.settings.grading_seconds + 1
    while time.monotonic() < deadline:
        async with services.db.snapshot() as session:
            row = await session.get(Grading, grading.id)
        if row is not None and row.result is not None:
            return row.result
        await asyncio.sleep(LOOK_SECONDS)
    raise Unavailable(
        f"No worker graded this within {services.settings.grading_seconds:g} seconds. "
        "Check that `fettle worker` is running."
    )
