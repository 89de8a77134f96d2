import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from fettle.registry.catalog import STARTER
from tests.api.tenants import ADAPTER, Tenant, refusal, running, settings_in
from tests.conftest import Api

SLASHED = "Qwen/Qwen3-0.6B"
SPELLINGS: dict[str, Callable[[str], str]] = {
    "raw": lambda name: name,
    "encoded": lambda name: quote(name, safe=""),
}  # as SDK 1.x and 3.x send ids


@pytest.fixture(scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    folder = tmp_path_factory.mktemp("models")
    catalog = folder / "catalog.json"
    catalog.write_text(json.dumps({SLASHED: {"path": str(STARTER), "parameters": 600_000_000, "length": 4096}}))
    async with running(settings_in(folder, catalog=catalog)) as application:
        yield application


@pytest.fixture
async def tuned(tenant: Tenant, tmp_path: Path) -> str:
    """A tuned model on a base whose name holds a slash."""
    job = await tenant.job(model=SLASHED, suffix="my-Suffix_1.0")
    return await tenant.publish(job["id"], tmp_path)


def stored(api: Api) -> set[Path]:
    return {path for path in Path(api.app.state.settings.storage).rglob("*") if path.is_file()}


@pytest.fixture(params=SPELLINGS)
def path(request: pytest.FixtureRequest) -> Any:
    """Makes the path of a model, in each of the ways that clients spell it."""
    return lambda name: f"/v1/models/{SPELLINGS[request.param](name)}"


class TestList:
    async def test_base_models_come_first_then_the_projects_own_newest_first(
        self, tenant: Tenant, tmp_path: Path
    ) -> None:
        older = await tenant.publish((await tenant.job())["id"], tmp_path)
        newer = await tenant.publish((await tenant.job())["id"], tmp_path)
        body = (await tenant.http.get("/v1/models")).json()
        assert body["object"] == "list"
        assert [model["id"] for model in body["data"]] == ["starter", SLASHED, newer, older]
        assert all(
            set(model) == {"id", "object", "created", "owned_by", "kind", "created_by"} for model in body["data"]
        )
        assert {model["object"] for model in body["data"]} == {"model"}
        assert [model["owned_by"] for model in body["data"]] == ["fettle", "fettle", *[tenant.project.id] * 2]

    async def test_a_reward_model_says_that_it_is_one(self, tenant: Tenant, tmp_path: Path) -> None:
        chats = await tenant.publish((await tenant.job())["id"], tmp_path)
        scores = await tenant.publish((await tenant.job())["id"], tmp_path)
        await tenant.now_scores(scores)
        body = (await tenant.http.get("/v1/models")).json()
        kinds = {model["id"]: model["kind"] for model in body["data"]}
        assert kinds == {"starter": "chat", SLASHED: "chat", chats: "chat", scores: "reward_model"}
        for name in (scores, "starter", chats):
            assert (await tenant.http.get(f"/v1/models/{quote(name, safe='')}")).json()["kind"] == kinds[name]


class TestRetrieve:
    async def test_a_base_model_is_found_by_a_name_with_a_slash(self, tenant: Tenant, path: Any) -> None:
        answer = await tenant.http.get(path(SLASHED))
        assert answer.status_code == 200
        assert (answer.json()["id"], answer.json()["owned_by"]) == (SLASHED, "fettle")

    async def test_a_tuned_model_is_found_by_a_name_with_slashes_and_colons(
        self, tenant: Tenant, tuned: str, path: Any
    ) -> None:
        assert tuned.startswith(f"ft:{SLASHED}:{tenant.project.name}:my-Suffix_1.0:")
        answer = await tenant.http.get(path(tuned))
        assert (answer.json()["id"], answer.json()["owned_by"]) == (tuned, tenant.project.id)

    async def test_a_checkpoint_is_found_by_its_name(self, tenant: Tenant, path: Any) -> None:
        name = await tenant.checkpoint((await tenant.job(model=SLASHED))["id"], 20)
        assert name.endswith(":ckpt-step-20")
        assert (await tenant.http.get(path(name))).json()["id"] == name

    @pytest.mark.parametrize("name", ["gpt-4o", "Qwen/other", "ft:starter:x::y", "starter/", "/starter", "Starter", ""])
    async def test_any_other_name_is_404(self, tenant: Tenant, path: Any, name: str) -> None:
        assert refusal(await tenant.http.get(path(name))) == (404, "model_not_found", "model")


class TestDelete:
    async def test_the_row_and_the_artifact_are_gone(self, api: Api, tenant: Tenant, tuned: str, path: Any) -> None:
        before = stored(api)
        assert (await tenant.http.delete(path(tuned))).json() == {"id": tuned, "object": "model", "deleted": True}
        assert {file.name for file in before - stored(api)} == {*ADAPTER, "manifest.json"}
        for gone in (
            await tenant.http.get(path(tuned)),
            await tenant.http.delete(path(tuned)),
            await tenant.http.post("/v1/chat/completions", json={"model": tuned, "messages": []}),
        ):
            assert refusal(gone) == (404, "model_not_found", "model")
        assert tuned not in (await tenant.http.get("/v1/models")).text

    async def test_its_job_stays_but_has_no_adapter(self, tenant: Tenant, tuned: str, path: Any) -> None:
        await tenant.http.delete(path(tuned))
        (job,) = (await tenant.http.get("/v1/fine_tuning/jobs")).json()["data"]
        assert (job["status"], job["fine_tuned_model"]) == ("succeeded", tuned)
        gone = await tenant.http.get(f"/v1/fine_tuning/jobs/{job['id']}/adapter")
        assert refusal(gone) == (404, "model_not_found", "model")

    async def test_a_checkpoint_goes_alone(self, tenant: Tenant, path: Any) -> None:
        job = (await tenant.job(model=SLASHED))["id"]
        first, second = [await tenant.checkpoint(job, step) for step in (10, 20)]
        assert (await tenant.http.delete(path(first))).json() == {"id": first, "object": "model", "deleted": True}
        assert refusal(await tenant.http.get(path(first))) == (404, "model_not_found", "model")
        assert (await tenant.http.get(path(second))).status_code == 200

    @pytest.mark.parametrize("name", ["starter", SLASHED])
    async def test_a_base_model_is_the_operators(self, tenant: Tenant, path: Any, name: str) -> None:
        assert refusal(await tenant.http.delete(path(name)))[:2] == (403, "insufficient_scope")
        assert (await tenant.http.get(path(name))).status_code == 200
