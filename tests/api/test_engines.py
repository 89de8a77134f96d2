from fettle.inference import engines
from models import InferenceEngine
from tests.api.tenants import Tenant


async def test_an_engine_shows_what_it_serves_and_tenants_see_no_address_and_no_names_of_others_models(
    tenant: Tenant,
) -> None:
    row = InferenceEngine(
        id="gpu-1:7",
        url="http://10.0.0.7:8001",
        host="gpu-1",
        version="0.1",
        kind="vllm",
        base_models=["qwen"],
        adapters=["ft:qwen:secret-project:plan:1"],
        requests=3,
        stopping=True,
    )
    async with tenant.db.transaction() as session:
        await engines.announce(session, row)
    try:
        (shown,) = (await tenant.http.get("/v1/engines")).json()["data"]
        operator = await tenant.key("admin", "jobs.read")
        (whole,) = (await operator.get("/v1/engines")).json()["data"]
    finally:
        async with tenant.db.transaction() as session:
            await engines.remove(session, row.id)
    told = ("object", "url", "kind", "status", "base_models", "adapters", "requests")
    assert [shown[name] for name in told] == ["engine", None, "vllm", "stopping", ["qwen"], 1, 3]
    assert whole == {**shown, "url": row.url}
    assert "secret-project" not in str(shown)
