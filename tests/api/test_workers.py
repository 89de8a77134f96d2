from fettle.jobs import leases, workers
from models import Worker
from tests.api.tenants import Tenant

JOBS = "/v1/fine_tuning/jobs"


async def announce(tenant: Tenant, id: str) -> None:
    async with tenant.db.transaction() as session:
        row = Worker(
            id=id,
            host="gpu-1",
            version="0.1",
            slots=["GPU 0"],
            gpus=[1],
            memory=[80],
            labels=["eu"],
            base_models=["starter"],
            sandbox=None,
            stopping=False,
        )
        await workers.announce(session, row)


async def leave(tenant: Tenant, id: str) -> None:
    async with tenant.db.transaction() as session:
        await workers.remove(session, id)


async def test_a_worker_shows_its_slots_and_names_a_job_to_its_owner_only(tenant: Tenant, other: Tenant) -> None:
    id = f"gpu-1:{tenant.project.id}"
    slot = {"device": "GPU 0", "gpus": 1, "memory_bytes": 80, "busy": True}
    job = await tenant.job()
    await announce(tenant, id)
    try:
        async with tenant.db.transaction() as session:
            claimed = await leases.claim(session, f"{id}:0", 60)
            assert claimed is not None
            mine = claimed.id == job["id"]
        (shown,) = [each for each in (await tenant.http.get("/v1/workers")).json()["data"] if each["id"] == id]
        assert (shown["object"], shown["host"], shown["status"]) == ("worker", "gpu-1", "ready")
        assert shown["labels"] == ["eu"]
        assert shown["slots"] == [{**slot, "job_id": job["id"] if mine else None}]
        (theirs,) = [each for each in (await other.http.get("/v1/workers")).json()["data"] if each["id"] == id]
        assert theirs["slots"] == [{**slot, "job_id": None}]
    finally:
        await leave(tenant, id)


async def test_a_queued_job_says_why_it_waits_and_a_job_that_does_not_says_nothing(tenant: Tenant) -> None:
    job = await tenant.job()
    assert job["waiting"]["reason"] == "no_worker"
    assert job["waiting"]["position"] >= 1
    listed = (await tenant.http.get(JOBS)).json()["data"][0]
    assert listed["waiting"]["message"] == job["waiting"]["message"]
    cancelled = (await tenant.http.post(f"{JOBS}/{job['id']}/cancel")).json()
    assert cancelled["waiting"] is None
