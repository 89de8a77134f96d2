"""One application for each file of tests; every test is a tenant of its own in it."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from fettle.tenancy import projects
from tests.api.tenants import Tenant, running, settings_in
from tests.conftest import Api


@pytest.fixture(scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with running(settings_in(tmp_path_factory.mktemp("api"))) as application:
        yield application


@pytest.fixture
async def new_tenant(api: Api) -> AsyncIterator[Callable[[], Awaitable[Tenant]]]:
    made: list[Tenant] = []

    async def make() -> Tenant:
        name = f"t-{uuid.uuid4().hex[:12]}"
        http = await api.client(name)
        async with api.app.state.db.transaction() as session:
            made.append(Tenant(api, await projects.ensure(session, name), http))
        return made[-1]

    yield make
    for tenant in made:
        await tenant.http.aclose()


@pytest.fixture
async def tenant(new_tenant: Callable[[], Awaitable[Tenant]]) -> Tenant:
    return await new_tenant()


@pytest.fixture
async def other(new_tenant: Callable[[], Awaitable[Tenant]]) -> Tenant:
    """Another tenant, a stranger to `tenant`."""
    return await new_tenant()
