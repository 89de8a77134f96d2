"""The HTTP application: routes, middleware, and what one process holds open. It imports no torch."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI

from api import errors, openapi, queries, scopes
from api.audit import Audit
from api.edge import loop_lag
from api.edge.middleware import Authentication, RequestId
from api.edge.proxies import Proxies
from api.edge.rates import Rates
from api.edge.telemetry import Telemetry
from api.readiness import Readiness
from api.reads import Reads
from api.routes import (
    adapters,
    advice,
    api_keys,
    audit_logs,
    batches,
    chat,
    checkpoint_permissions,
    comparison_annotators,
    comparison_exports,
    comparison_imports,
    comparison_items,
    comparison_votes,
    comparisons,
    completions,
    console,
    docs,
    dry_runs,
    engines,
    estimates,
    evals,
    files,
    graders,
    health,
    job_comparisons,
    job_metrics,
    jobs,
    metrics,
    models,
    projects,
    reports,
    responses,
    reward_functions,
    rollouts,
    session,
    uploads,
    usage,
    webhooks,
    workers,
)
from api.statistics import Statistics
from fettle import __version__
from fettle.datasets.ingest import Checks
from fettle.db import Database
from fettle.host import data_folder
from fettle.inference.client import Engine
from fettle.inference.engines import Directory
from fettle.isolation.pool import Pool
from fettle.observability.metrics import Ledger
from fettle.queue import Doorbell
from fettle.registry import catalog
from fettle.registry.live_catalog import LiveCatalog
from fettle.settings import Settings
from fettle.storage import open_storage, reserve, stale_files
from fettle.tenancy import api_keys as keys

ROUTERS = (
    files.router,
    uploads.router,
    jobs.router,
    job_metrics.router,
    adapters.router,
    rollouts.router,
    dry_runs.router,
    advice.router,
    estimates.router,
    reports.router,
    graders.router,
    reward_functions.router,
    comparisons.router,
    comparison_items.router,
    comparison_votes.router,
    comparison_annotators.router,
    comparison_imports.router,
    job_comparisons.router,
    comparison_exports.router,
    workers.router,
    engines.router,
    models.router,
    checkpoint_permissions.router,
    chat.router,
    responses.router,
    completions.router,
    batches.router,
    evals.router,
    webhooks.router,
    api_keys.router,
    projects.router,
    audit_logs.router,
    usage.router,
    health.router,
    metrics.router,
    docs.router,
    session.router,
    console.router,
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    state = app.state
    settings: Settings = state.settings
    data_folder.prepare(settings.data)
    state.db = Database(settings.database)
    state.ledger = Ledger(state.db)
    state.storage = open_storage(settings)
    state.doorbell = Doorbell(settings)
    state.engine = Engine(settings, Directory(state.db, settings.heartbeat_seconds))
    state.models = LiveCatalog(settings)
    state.aliases = catalog.check_aliases(settings.model_aliases, state.models)
    state.pepper = keys.pepper(settings)
    state.readiness = Readiness()
    state.invitation_rates = Rates()
    state.reads = Reads(state.db, settings, state.pepper)
    reserve.make(settings)
    state.uploads = settings.data / "uploads"
    state.uploads.mkdir(parents=True, exist_ok=True)
    stale_files.sweep(state.uploads)
    state.pool = Pool()
    state.statistics = Statistics(state.pool)
    if state.warm:
        state.warming = asyncio.create_task(state.pool.start())
    state.checks = Checks(os.cpu_count() or 1)
    watching = asyncio.create_task(loop_lag.watch())
    yield
    watching.cancel()
    await state.pool.close()
    await state.engine.close()
    await state.doorbell.close()
    await state.db.close()


def create_app(settings: Settings | None = None, *, warm: bool = False) -> FastAPI:
    """warm: what the first requests need is started at once."""
    app = FastAPI(
        title="Fettle",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # ours needs no other host
        redoc_url=None,
        dependencies=[Depends(queries.refuse_unknown)],
    )
    app.state.settings, app.state.warm = settings or Settings(), warm
    errors.install(app)
    openapi.install(app)
    app.add_middleware(Audit)  # added first, so innermost: it sees who asks
    app.add_middleware(Authentication)
    app.add_middleware(Telemetry)
    app.add_middleware(RequestId)  # around what refuses: a refusal carries an id as well
    app.add_middleware(Proxies)  # added last, so outermost
    for router in ROUTERS:
        app.include_router(router, dependencies=[Depends(scopes.guard)])
    return app
