"""The application behind a real uvicorn, a stub where the engine should be, and clients of the unmodified SDK."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
from openai import OpenAI

from api.app import create_app
from fettle.db import Database
from fettle.registry.catalog import STARTER
from fettle.settings import Settings
from tests.api.conftest import new_tenant, other, tenant
from tests.api.served import Wire, served
from tests.api.stub_engine import StubEngine
from tests.api.tenants import Tenant, running, settings_in
from tests.conftest import Api
from worker import tasks
from worker.attempts.resources import Resources

__all__ = ["new_tenant", "other", "tenant"]  # fixtures

SLASHED = "acme/tiny-1"  # a base model with a name as on the hub
ALIAS = "gpt-4o-mini"


@pytest.fixture(scope="module")
def engine() -> Iterator[tuple[StubEngine, str]]:
    stub = StubEngine()
    with served(stub.app) as url:
        yield stub, url


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, engine: tuple[StubEngine, str]) -> Settings:
    folder = tmp_path_factory.mktemp("conformance")
    catalog = folder / "catalog.json"
    catalog.write_text(json.dumps({SLASHED: {"path": str(STARTER), "parameters": 1_669_312, "length": 2048}}))
    return settings_in(
        folder, engine_url=engine[1], max_upload_bytes=1 << 20, catalog=catalog, model_aliases={ALIAS: "starter"},
        poll_seconds=0.1,
    )  # fmt: skip


@pytest.fixture(scope="module")
async def api(settings: Settings) -> AsyncIterator[Api]:
    """On the server's database and storage, so that tests make rows as a worker would. It serves nobody."""
    async with running(settings) as application:
        yield application


@pytest.fixture(scope="module")
def server(api: Api, settings: Settings) -> Iterator[tuple[Wire, str]]:
    wire = Wire(create_app(settings))
    with served(wire) as url:
        yield wire, url


@pytest.fixture(scope="module")
def grading(api: Api, settings: Settings) -> Iterator[None]:
    """A worker that grades, in a thread of its own: the calls are made by a client that blocks."""

    async def serve() -> None:
        state, database = api.app.state, Database(settings.database)
        serving = asyncio.create_task(
            tasks.serve(Resources(settings, database, state.storage, state.models, threads=1), asyncio.Event())
        )
        await asyncio.to_thread(done.wait)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await database.close()

    done = threading.Event()
    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    yield
    done.set()
    thread.join()


@pytest.fixture
def wire(server: tuple[Wire, str]) -> Wire:
    server[0].requests.clear()
    return server[0]


@pytest.fixture
def key(tenant: Tenant) -> str:
    return tenant.http.headers["authorization"].removeprefix("Bearer ")


@pytest.fixture
def client(server: tuple[Wire, str], key: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server[1]}/v1", api_key=key) as made:
        yield made
