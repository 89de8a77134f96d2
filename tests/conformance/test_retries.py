"""Fifty creates at once, as impatient clients and proxies send them, are one job: in SQLite and in PostgreSQL."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI

from api.app import create_app
from fettle.tenancy import projects
from tests.api.served import served
from tests.api.tenants import Tenant, running, settings_in
from tests.conftest import Api

pytestmark = pytest.mark.slow  # starts a server for the SDK

JOBS = "/v1/fine_tuning/jobs"
AT_ONCE = 50


@pytest.fixture
async def api(tmp_path: Path, database_url: str) -> AsyncIterator[Api]:
    async with running(settings_in(tmp_path, database_url=database_url)) as application:
        yield application


@pytest.fixture
async def tenant(api: Api) -> AsyncIterator[Tenant]:
    async with await api.client() as http:
        async with api.app.state.db.transaction() as session:
            owner = await projects.ensure(session, "default")
        yield Tenant(api, owner, http)


async def send(tenant: Tenant, body: dict[str, Any], headers: list[dict[str, str]]) -> set[str]:
    """All at once; the ids of the jobs that they were answered with."""
    answers = await asyncio.gather(*(tenant.http.post(JOBS, json=body, headers=each) for each in headers))
    assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers]
    return {answer.json()["id"] for answer in answers}


async def listed(tenant: Tenant) -> set[str]:
    return {job["id"] for job in (await tenant.http.get(JOBS, params={"limit": 100})).json()["data"]}


@pytest.mark.parametrize("order", [1, 2, 3])
async def test_one_first_try_among_retries_of_it_makes_one_job_in_any_order(tenant: Tenant, order: int) -> None:
    body = {"model": "starter", "training_file": (await tenant.upload())["id"], "seed": 7}
    counts = [0, *(1 + number % 2 for number in range(AT_ONCE - 1))]
    random.Random(order).shuffle(counts)
    made = await send(tenant, body, [{"x-stainless-retry-count": str(count)} for count in counts])
    assert len(made) == 1
    assert await listed(tenant) == made


async def test_a_first_try_that_a_retry_has_overtaken_finds_its_job_once(tenant: Tenant) -> None:
    body = {"model": "starter", "training_file": (await tenant.upload())["id"]}
    (early,) = await send(tenant, body, [{"x-stainless-retry-count": "1"}])
    (late,) = await send(tenant, body, [{}])
    (another,) = await send(tenant, body, [{}])
    assert early == late != another


async def test_many_retries_without_a_first_try_make_one_job(tenant: Tenant) -> None:
    body = {"model": "starter", "training_file": (await tenant.upload())["id"]}
    assert len(await send(tenant, body, [{"x-stainless-retry-count": "1"}] * AT_ONCE)) == 1


async def test_many_with_one_idempotency_key_make_one_job(tenant: Tenant) -> None:
    body = {"model": "starter", "training_file": (await tenant.upload())["id"]}
    made = await send(tenant, body, [{"Idempotency-Key": "k"}] * AT_ONCE)
    assert len(made) == 1
    assert await listed(tenant) == made


async def test_many_first_tries_are_as_many_jobs(tenant: Tenant) -> None:
    body = {"model": "starter", "training_file": (await tenant.upload())["id"]}
    assert len(await send(tenant, body, [{}] * 10)) == 10


async def test_fifty_sdk_clients_with_one_key_over_sockets_make_one_job(tenant: Tenant, api: Api) -> None:
    file = (await tenant.upload())["id"]
    key = tenant.http.headers["authorization"].removeprefix("Bearer ")
    with served(create_app(api.app.state.settings)) as url:
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=60) as client:
            jobs = await asyncio.gather(
                *(
                    client.fine_tuning.jobs.create(
                        model="starter", training_file=file, extra_headers={"Idempotency-Key": "k"}
                    )
                    for _ in range(AT_ONCE)
                )
            )
    assert len({job.id for job in jobs}) == 1
    assert await listed(tenant) == {jobs[0].id}


async def test_a_client_that_gives_up_early_and_retries_makes_one_job(tenant: Tenant, api: Api) -> None:
    """The SDK's own retries: its patience ends while the first try still waits for the lock."""
    body = {"model": "starter", "training_file": (await tenant.upload())["id"]}
    with served(create_app(api.app.state.settings)) as url:
        async with httpx.AsyncClient(base_url=url, headers=tenant.http.headers) as http:
            with pytest.raises(httpx.TimeoutException):
                await http.post(JOBS, json=body, timeout=0.001)
            again = await http.post(JOBS, json=body, headers={"x-stainless-retry-count": "1"})
    assert again.status_code == 200
    assert await listed(tenant) == {again.json()["id"]}
