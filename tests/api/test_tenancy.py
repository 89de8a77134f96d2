"""Every route that the application has: strangers stop at the gate, and another tenant's things are not there."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.scopes import ROUTES
from fettle.tenancy import projects
from models import JobStatus
from tests.api.asgi import chunk, exchange
from tests.api.tenants import Tenant, message, refusal
from tests.api.ways import GUARDED, LISTS, WITH_ID, Way
from tests.conftest import Api

FOUND_OR_NOT = {  # of a path's ids: the code that says that there is none
    "file_id": "not_found",
    "job_id": "not_found",
    "model": "model_not_found",
    "key_id": "not_found",
    "project_id": "not_found",
    "comparison_id": "not_found",
    "annotator_id": "not_found",
    "vote_id": "not_found",
    "item_id": "not_found",
    "upload_id": "not_found",
    "function_id": "not_found",
    "batch_id": "not_found",
    "response_id": "not_found",
    "webhook_endpoint_id": "not_found",
    "delivery_id": "not_found",
    "permission_id": "not_found",
    "completion_id": "not_found",
    "eval_id": "not_found",
    "run_id": "not_found",
    "output_item_id": "not_found",
}

BODIES = {  # read before the id is
    "PATCH /v1/fine_tuning/jobs/{job_id}/rewards": {"reward_functions": ["exact_match"]},
    "POST /v1/comparisons/{comparison_id}/release": {"leases": {}},
    "POST /v1/comparisons/{comparison_id}/votes": {"item_id": "x", "skip": True},
    "POST /v1/comparisons/{comparison_id}/annotators": {"name": "Ann"},
    "POST /v1/uploads/{upload_id}/complete": {"part_ids": ["part_x"]},
    "POST /v1/comparisons/{comparison_id}/export": {},
    "POST /v1/fine_tuning/jobs/{job_id}/comparison": {},
    "POST /v1/webhook_endpoints/{webhook_endpoint_id}": {"name": "theirs"},
    "POST /v1/evals/{eval_id}": {"name": "theirs"},
    "POST /v1/chat/completions/{completion_id}": {"metadata": {"a": "b"}},
    "POST /v1/fine_tuning/checkpoints/{model}/permissions": {"project_ids": ["proj_x"]},
    "POST /v1/evals/{eval_id}/runs": {
        "data_source": {"type": "jsonl", "source": {"type": "file_content", "content": [{"item": {}}]}}
    },
    "POST /v1/webhook_endpoints/{webhook_endpoint_id}/test": {"event_type": "batch.failed"},
    "POST /v1/comparisons/{comparison_id}/items/{item_id}/regenerate": {},
    "POST /v1/comparisons/{comparison_id}/prompts": {"prompts": ["hi"]},
    "POST /v1/comparisons/{comparison_id}/gold": {"items": [{"prompt": "hi", "ranked": ["a", "b"]}]},
    "POST /v1/comparisons/{comparison_id}/train": {"model": "starter"},
}


async def things(tenant: Tenant, folder: Path) -> dict[str, str]:
    """One of each thing that a path can name."""
    job = await tenant.job()
    await tenant.checkpoint(job["id"], 1)
    compared = await tenant.comparison()
    return {
        "file_id": job["training_file"],
        "job_id": job["id"],
        "model": (model := await tenant.publish(job["id"], folder)),
        "permission_id": await tenant.permission(model),
        "key_id": (await tenant.http.get("/v1/api_keys")).json()["data"][0]["id"],
        "project_id": tenant.project.id,
        "batch_id": (await tenant.batch())["id"],
        "upload_id": (await tenant.upload_in_parts(9))["id"],
        "function_id": (await tenant.reward_function())["id"],
        "response_id": await tenant.stored_response(),
        "completion_id": await tenant.stored_completion(),
        **await tenant.webhook(),
        **await tenant.evaluated(),
        **compared,
    }


@pytest.fixture(scope="module")
async def owner(api: Api) -> AsyncIterator[Tenant]:
    """One tenant, whom the tests try to rob. It is the same for all: what one takes, the next one misses."""
    async with await api.client("owner") as http:
        async with api.app.state.db.transaction() as session:
            project = await projects.ensure(session, "owner")
        yield Tenant(api, project, http)


@pytest.fixture(scope="module")
async def theirs(owner: Tenant, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return await things(owner, tmp_path_factory.mktemp("theirs"))


def test_the_application_has_the_routes_that_these_tests_walk() -> None:
    assert {str(way) for way in WITH_ID} >= {
        "GET /v1/files/{file_id}/content",
        "DELETE /v1/models/{model}",
        "POST /v1/fine_tuning/jobs/{job_id}/cancel",
    }
    assert {way.path for way in LISTS} >= {"/v1/files", "/v1/models", "/v1/fine_tuning/jobs"}


@pytest.mark.parametrize("way", GUARDED, ids=str)
async def test_without_a_key_nothing_is_read_and_nothing_told(api: Api, way: Way) -> None:
    path = way.path.format(**dict.fromkeys(way.names, "x"))
    done = await exchange(api.app, way.method, path, {"content-length": "2"}, [chunk(b"{}", last=True)])
    assert (done.status, done.reads) == (401, 0)
    assert done.headers["x-request-id"]


@pytest.mark.parametrize("way", WITH_ID, ids=str)
class TestAnotherTenantsId:
    async def test_it_is_404_as_if_it_did_not_exist(self, tenant: Tenant, theirs: dict[str, str], way: Way) -> None:
        foreign = await tenant.http.request(way.method, way.path.format(**theirs), json=BODIES.get(str(way)))
        invented = {name: id[:-4] + "none" for name, id in theirs.items()}
        unknown = await tenant.http.request(way.method, way.path.format(**invented), json=BODIES.get(str(way)))
        name = way.names[0]  # of the thing that the others belong to
        operators = ROUTES[str(way)] == "admin"  # closed to tenants whatever the id
        assert refusal(foreign)[:2] == ((403, "insufficient_scope") if operators else (404, FOUND_OR_NOT[name]))
        assert refusal(foreign) == refusal(unknown)
        assert message(foreign) == message(unknown).replace(invented[name], theirs[name])

    async def test_its_owner_finds_it_unharmed(
        self, tenant: Tenant, owner: Tenant, theirs: dict[str, str], way: Way
    ) -> None:
        await tenant.http.request(way.method, way.path.format(**theirs), json=BODIES.get(str(way)))
        for path in ("/v1/files/{file_id}/content", "/v1/models/{model}", "/v1/fine_tuning/jobs/{job_id}/adapter"):
            assert (await owner.http.get(path.format(**theirs))).status_code == 200
        job = (await owner.http.get(f"/v1/fine_tuning/jobs/{theirs['job_id']}")).json()
        assert job["status"] == "succeeded"
        assert (await owner.http.get(f"/v1/api_keys/{theirs['key_id']}")).json()["status"] == "live"


class TestLists:
    @pytest.mark.parametrize("way", LISTS, ids=str)
    async def test_they_hold_nothing_of_another_tenant(
        self, tenant: Tenant, owner: Tenant, theirs: dict[str, str], way: Way
    ) -> None:
        owners = (await owner.http.get(way.path)).text
        assert [id for id in theirs.values() if id in owners]
        mine = (await tenant.http.get(way.path)).text
        assert not [id for id in [*theirs.values(), owner.project.id] if id in mine]

    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("/v1/files", "file_id"),
            ("/v1/fine_tuning/jobs", "job_id"),
            ("/v1/api_keys", "key_id"),
            ("/v1/projects", "project_id"),
            ("/v1/comparisons", "comparison_id"),
        ],
    )
    async def test_another_tenants_id_is_no_cursor(
        self, tenant: Tenant, theirs: dict[str, str], path: str, name: str
    ) -> None:
        answer = await tenant.http.get(path, params={"after": theirs[name]})
        assert refusal(answer) == (400, "invalid_value", "after")


class TestBodies:
    @pytest.mark.parametrize("param", ["training_file", "validation_file"])
    async def test_another_tenants_file_cannot_be_trained_on(self, tenant: Tenant, other: Tenant, param: str) -> None:
        file = await other.upload()
        assert refusal(await tenant.create(**{param: file["id"]})) == (400, "file_not_found", param)

    async def test_another_tenants_model_does_not_chat(self, tenant: Tenant, theirs: dict[str, str]) -> None:
        asked = {"model": theirs["model"], "messages": []}
        answer = await tenant.http.post("/v1/chat/completions", json=asked)
        assert refusal(answer) == (404, "model_not_found", "model")

    async def test_another_tenants_model_does_not_judge(self, tenant: Tenant, theirs: dict[str, str]) -> None:
        asked = [{"role": "user", "content": "Grade {{sample.output_text}}"}]
        judge = {"type": "score_model", "name": "judge", "model": theirs["model"], "input": asked}
        answer = await tenant.http.post(
            "/v1/fine_tuning/alpha/graders/run", json={"grader": judge, "model_sample": "4"}
        )
        assert refusal(answer) == (404, "model_not_found", "model")

    async def test_another_tenants_checkpoint_neither_shows_nor_chats(self, tenant: Tenant, other: Tenant) -> None:
        name = await other.checkpoint((await other.job())["id"], 1)
        assert (await other.http.get(f"/v1/models/{name}")).status_code == 200
        asked = {"model": name, "messages": []}
        for answer in (
            await tenant.http.get(f"/v1/models/{name}"),
            await tenant.http.post("/v1/chat/completions", json=asked),
        ):
            assert refusal(answer) == (404, "model_not_found", "model")

    async def test_an_idempotency_key_is_a_tenants_own(self, tenant: Tenant, other: Tenant) -> None:
        key = {"Idempotency-Key": "one"}
        mine, theirs = await tenant.create(key), await other.create(key)
        assert (mine.status_code, theirs.status_code) == (200, 200)
        assert mine.json()["id"] != theirs.json()["id"]

    async def test_a_retry_finds_no_job_of_another_tenant(self, tenant: Tenant, other: Tenant) -> None:
        job = await other.job()
        answer = await tenant.create({"x-stainless-retry-count": "1"}, training_file=job["training_file"])
        assert refusal(answer) == (400, "file_not_found", "training_file")


async def test_two_keys_of_a_project_see_the_same(api: Api, tenant: Tenant) -> None:
    job = await tenant.job()
    async with await api.client(tenant.project.name) as colleague:
        assert (await colleague.get(f"/v1/fine_tuning/jobs/{job['id']}")).json() == job
        await colleague.post(f"/v1/fine_tuning/jobs/{job['id']}/cancel")
    assert (await tenant.http.get(f"/v1/fine_tuning/jobs/{job['id']}")).json()["status"] == JobStatus.CANCELLED
