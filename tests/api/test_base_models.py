"""Base models that an operator adds and removes while the API runs."""

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fettle.registry.catalog import STARTER
from fettle.settings import Settings
from tests import bases
from tests.api.tenants import Tenant, message, refusal
from tests.conftest import Api


@pytest.fixture
async def operator(tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    client = await tenant.key("all", "admin")
    yield client
    await client.aclose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return bases.copy(tmp_path / "House-Model")


async def add(operator: httpx.AsyncClient, folder: Path, **fields: Any) -> httpx.Response:
    return await operator.post("/v1/models", json={"path": str(folder), **fields})


async def test_a_folder_becomes_a_model_whose_files_tell_the_rest_and_can_be_removed(
    operator: httpx.AsyncClient, tenant: Tenant, folder: Path
) -> None:
    (folder / "README.md").write_text("---\nlanguage: en\nlicense: mit\n---\n# A model\n")
    answer = await add(operator, folder, name="house/one")
    assert answer.status_code == 200, answer.text
    about = answer.json()["base"]
    config = json.loads((STARTER / "config.json").read_text())
    assert answer.json()["id"] == "house/one"
    assert (about["parameters"], about["length"], about["license"]) == (1_669_312, 2048, "mit")
    assert (about["layers"], about["vocabulary"]) == (config["num_hidden_layers"], config["vocab_size"])
    assert about["stops"] == ["<|im_end|>"]
    assert (await tenant.http.get("/v1/models/house/one")).json()["base"] == about
    job = await tenant.job(model="house/one")
    assert job["model"] == "house/one"

    refused = await operator.delete("/v1/models/house/one")
    assert refusal(refused)[:2] == (409, "model_in_use")
    assert job["id"] in message(refused)
    await tenant.http.post(f"/v1/fine_tuning/jobs/{job['id']}/cancel")
    assert (await operator.delete("/v1/models/house/one")).json()["deleted"] is True
    assert (await tenant.http.get("/v1/models/house/one")).status_code == 404
    assert folder.is_dir()


async def test_the_name_is_the_folders_unless_given_and_is_taken_once(
    operator: httpx.AsyncClient, folder: Path
) -> None:
    assert (await add(operator, folder)).json()["id"] == "house-model"
    again = await add(operator, folder)
    assert refusal(again) == (409, "conflict", "name")
    assert "'house-model' is taken" in message(again)
    assert (await operator.delete("/v1/models/house-model")).status_code == 200


@pytest.mark.parametrize("name", ["starter", "ft:x", "a b", "", "-x", "x:y", "x" * 101])
async def test_a_bad_name_is_refused(operator: httpx.AsyncClient, folder: Path, name: str) -> None:
    assert refusal(await add(operator, folder, name=name))[2] == "name"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "path"),
        ({"path": "/nowhere"}, "path"),
        ({"path": "models/x"}, "path"),
        ({"path": "/x", "hub": "a/b"}, "path"),
        ({"hub": "a/b"}, "hub"),
        ({"hub": "a/b", "revision": "main"}, "revision"),
        ({"path": "/x", "parameters": 5}, "parameters"),
    ],
    ids=str,
)
async def test_what_is_no_source_is_named(operator: httpx.AsyncClient, body: dict[str, Any], param: str) -> None:
    answer = await operator.post("/v1/models", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


async def test_a_model_in_the_hubs_cache_keeps_the_commit_that_was_downloaded(
    operator: httpx.AsyncClient, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789abcdef" * 2 + "01234567"
    cache = tmp_path / "cache" / "models--acme--small"
    (cache / "snapshots").mkdir(parents=True)
    (cache / "snapshots" / commit).symlink_to(folder)
    monkeypatch.setenv("HF_HUB_CACHE", str(cache.parent))
    missing = await operator.post("/v1/models", json={"hub": "acme/small"})
    assert "Run `hf download acme/small` there" in message(missing)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(commit)
    made = await operator.post("/v1/models", json={"hub": "acme/small"})
    assert made.status_code == 200, made.text
    assert (made.json()["id"], made.json()["base"]["revision"]) == ("small", commit)


async def test_a_model_that_no_job_could_train_is_refused_with_the_reason(
    operator: httpx.AsyncClient, folder: Path, tmp_path: Path
) -> None:
    (folder / "chat_template.jinja").unlink()
    assert refusal(await add(operator, folder))[:2] == (400, "no_chat_template")
    broken = bases.copy(tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"\xff" * 64)
    assert "is not a safetensors file" in message(await add(operator, broken))
    pickled = bases.copy(tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    assert "pickled weights" in message(await add(operator, pickled))
    endless = bases.copy(tmp_path / "endless")
    bases.rewrite(endless / "config.json", max_position_embeddings=None)
    bases.rewrite(endless / "tokenizer_config.json", model_max_length=10**30)
    assert "max_position_embeddings" in message(await add(operator, endless))


async def test_what_a_model_cannot_do_is_told(operator: httpx.AsyncClient, tmp_path: Path) -> None:
    folder = bases.trimming(tmp_path / "plain")
    limits = (await add(operator, folder)).json()["base"]["limits"]
    assert [each for each in limits if "tool_calls" in each] == limits
    assert (await operator.delete("/v1/models/plain")).status_code == 200


async def test_only_an_operator_adds_and_removes(operator: httpx.AsyncClient, tenant: Tenant, folder: Path) -> None:
    assert refusal(await add(tenant.http, folder))[:2] == (403, "insufficient_scope")
    await add(operator, folder)
    assert refusal(await tenant.http.delete("/v1/models/house-model"))[:2] == (403, "insufficient_scope")
    assert "is built in" in message(await operator.delete("/v1/models/starter"))
    assert (await operator.delete("/v1/models/house-model")).status_code == 200


async def test_a_catalog_entry_needs_no_more_than_a_path(api: Api, tmp_path: Path) -> None:
    from fettle.registry import catalog
    from fettle.registry.live_catalog import LiveCatalog

    file = tmp_path / "catalog.json"
    file.write_text(json.dumps({"house": {"path": str(STARTER)}}))
    assert (catalog.load(file)["house"].parameters, catalog.load(file)["house"].length) == (1_669_312, 2048)
    live = LiveCatalog(Settings(data=tmp_path, catalog=file))
    file.write_text(json.dumps({"other": {"path": str(STARTER), "length": 512}}))
    assert live["other"].length == 512
    assert "house" not in live
    file.write_text("{")
    live.refresh()
    assert "other" in live
    shutil.rmtree(tmp_path / "gone", ignore_errors=True)
    file.write_text(json.dumps({"gone": {"path": str(tmp_path / "gone")}}))
    with pytest.raises(catalog.CatalogError, match=r"'gone' does not say its 'parameters' and 'length'"):
        catalog.load(file)
