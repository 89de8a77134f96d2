"""Reads shared by those who ask at the same moment: nobody gets another's answer, nor an old one."""

import asyncio

from fettle.tenancy import api_keys
from tests.api.tenants import Tenant
from tests.conftest import Api

JOBS = "/v1/fine_tuning/jobs"


async def test_many_at_once_with_good_and_bad_keys_are_told_apart(api: Api, tenant: Tenant, other: Tenant) -> None:
    job = await tenant.job()
    wrong = api.stranger(api_keys.generate())
    path = f"{JOBS}/{job['id']}"
    answers = await asyncio.gather(*(http.get(path) for _ in range(20) for http in (tenant.http, other.http, wrong)))
    assert [answer.status_code for answer in answers] == [200, 404, 401] * 20
    await wrong.aclose()


async def test_a_revoked_key_is_refused_from_the_next_request_on(api: Api, tenant: Tenant) -> None:
    assert (await tenant.http.get(JOBS)).status_code == 200
    async with tenant.db.transaction() as session:
        for key, project in await api_keys.everyone(session):
            if project.id == tenant.project.id:
                await api_keys.revoke(session, key.id)
    assert (await tenant.http.get(JOBS)).status_code == 401


async def test_a_client_reads_its_own_writes_among_pollers(tenant: Tenant) -> None:
    job = await tenant.job()
    path = f"{JOBS}/{job['id']}"
    pollers = [asyncio.create_task(tenant.http.get(path)) for _ in range(30)]
    assert (await tenant.http.post(f"{path}/cancel")).status_code == 200
    late = await asyncio.gather(*(tenant.http.get(path) for _ in range(10)))
    assert {answer.json()["status"] for answer in late} == {"cancelled"}
    await asyncio.gather(*pollers)


async def test_pages_of_events_are_each_jobs_own(tenant: Tenant) -> None:
    jobs = [await tenant.job(seed=seed) for seed in range(3)]
    pages = await asyncio.gather(
        *(tenant.http.get(f"{JOBS}/{job['id']}/events?limit={n}") for job in jobs for n in (1, 2))
    )
    for job, page in zip([job for job in jobs for _ in (1, 2)], pages, strict=True):
        assert [event["message"] for event in page.json()["data"]] == [f"Created fine-tuning job: {job['id']}"]
