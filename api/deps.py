"""What routes ask for. Only here is a transaction committed; bells ring after the commit."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, cast

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from api import audit
from api.readiness import Readiness
from api.reads import Reads
from api.statistics import Statistics
from fettle import queue
from fettle.datasets.ingest import Checks
from fettle.db import Database
from fettle.inference.client import Engine
from fettle.isolation.pool import Pool
from fettle.observability.metrics import Ledger
from fettle.queue import Doorbell
from fettle.registry.live_catalog import LiveCatalog
from fettle.settings import Settings
from fettle.storage import Storage, reserve
from models import ApiKey


class AppState:
    """What one API process holds open; lives in `app.state`."""

    settings: Settings
    db: Database
    ledger: Ledger
    reads: Reads
    readiness: Readiness
    storage: Storage
    doorbell: Doorbell
    engine: Engine
    models: LiveCatalog
    aliases: dict[str, str]  # other names of base models
    pepper: bytes
    uploads: Path
    checks: Checks  # of datasets
    pool: Pool  # for work that the event loop must not do
    statistics: Statistics  # of comparisons


async def app_state(request: Request) -> AppState:
    return cast(AppState, request.app.state)


async def project_id(request: Request) -> str:
    """The tenant; authentication has put it there."""
    return cast(str, request.state.project_id)


async def api_key(request: Request) -> ApiKey:
    """The key that asks; authentication has put it there."""
    return cast(ApiKey, request.state.api_key)


async def transaction(request: Request) -> AsyncIterator[AsyncSession]:
    services = await app_state(request)
    async with audit.transaction(services.db) as session:
        yield session
    for job_id in queue.rings(session):
        await services.doorbell.ring(job_id)


async def snapshot(request: Request) -> AsyncIterator[AsyncSession]:
    async with (await app_state(request)).db.snapshot() as session:
        yield session


async def room(request: Request) -> None:
    """For what ends a job or deletes something: on a full disk the reserve lets it through."""
    reserve.release((await app_state(request)).settings)


Room = Depends(room)
Services = Annotated[AppState, Depends(app_state)]
ProjectId = Annotated[str, Depends(project_id)]
Caller = Annotated[ApiKey, Depends(api_key)]
# scope="function": committed before the response leaves, so that a client reads its own writes
Transaction = Annotated[AsyncSession, Depends(transaction, scope="function")]
Snapshot = Annotated[AsyncSession, Depends(snapshot, scope="function")]
