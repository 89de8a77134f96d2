"""`GET /v1/files/{id}/preview`: tokens and loss mask of the first rows, figures of more."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from fettle.datasets import files, previews
from fettle.datasets.formats.preview import look
from fettle.registry.catalog import STARTER, BaseModelEntry
from tests.api.tenants import Tenant, jsonl, message, refusal
from tests.conftest import Api

CSV = b"prompt,completion\n" + b"".join(b"%d + 1 =,%d\n" % (n, n + 1) for n in range(12))


def parquet() -> bytes:
    file = io.BytesIO()
    rows = [{"prompt": f"{n} + 1 =", "completion": str(n + 1)} for n in range(12)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    return file.getvalue()


async def preview(tenant: Tenant, file_id: str, **query: Any) -> Any:
    return await tenant.http.get(f"/v1/files/{file_id}/preview", params={"model": "starter", **query})


@pytest.mark.parametrize(("content", "form"), [(jsonl(12), "jsonl"), (CSV, "csv"), (parquet(), "parquet")])
async def test_every_format_is_shown_alike(content: bytes, form: str, tenant: Tenant, tmp_path: Path) -> None:
    file = await tenant.upload(content, "data")
    answer = (await preview(tenant, file["id"], limit=2, max_seq_length=16)).json()
    assert (answer["object"], answer["file_id"], answer["model"]) == ("file.preview", file["id"], "starter")
    (tmp_path / "same").write_bytes(jsonl(12))
    expected = look(tmp_path / "same", STARTER, limit=2, max_seq_length=16, whole=True)
    assert [row["tokens"] for row in answer["rows"]] == [row["tokens"] for row in expected["rows"]]
    lines = [line + (form == "csv") for line in expected["summary"]["lines_too_long"]]  # a header comes first
    assert answer["summary"] == {**expected["summary"], "format": form, "lines_too_long": lines}
    assert file["validation"]["format"] == form


async def test_of_a_large_file_the_beginning_is_read_and_this_is_said(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previews, "HEAD", 200)
    monkeypatch.setattr("fettle.storage.local.CHUNK", 150)
    for content in (jsonl(40), CSV + b'"a\nb",c\n' * 40):
        file = await tenant.upload(content)
        summary = (await preview(tenant, file["id"])).json()["summary"]
        assert 4 < summary["rows"] < 40
        assert summary["complete"] is False


async def test_another_tenants_file_is_not_there(tenant: Tenant, other: Tenant) -> None:
    file = await tenant.upload()
    assert refusal(await preview(other, file["id"])) == (404, "not_found", "file_id")


async def test_an_unknown_model_is_named(tenant: Tenant) -> None:
    file = await tenant.upload()
    answer = await preview(tenant, file["id"], model="gpt-9")
    assert refusal(answer) == (404, "model_not_found", "model")
    assert "'gpt-9'" in message(answer)


async def test_a_tuned_model_and_an_alias_stand_for_their_base(
    api: Api, tenant: Tenant, other: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(api.app.state.aliases, "gpt-4o-mini", "starter")
    job = await tenant.job()
    tuned = await tenant.publish(job["id"], tmp_path)
    plain = (await preview(tenant, job["training_file"])).json()
    for name, called in (("gpt-4o-mini", "starter"), (tuned, tuned)):
        assert (await preview(tenant, job["training_file"], model=name)).json() == {**plain, "model": called}
    file = await other.upload()
    assert refusal(await preview(other, file["id"], model=tuned)) == (404, "model_not_found", "model")


async def test_a_jobs_result_is_no_dataset(api: Api, tenant: Tenant) -> None:
    result = files.new(tenant.project.id, "step_metrics.csv", files.RESULTS, 4)
    async with tenant.db.transaction() as session:
        session.add(result)
    answer = await preview(tenant, result.id)
    assert refusal(answer) == (400, "invalid_value", "file_id")
    assert "'fine-tune-results'" in message(answer)


async def test_a_base_model_that_is_not_on_this_machine_is_not_fetched(
    api: Api, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = BaseModelEntry(hub="acme/large", revision="0" * 40, parameters=1, length=8)
    monkeypatch.setitem(api.app.state.models.entries, "acme/large", away)
    file = await tenant.upload()
    answer = await preview(tenant, file["id"], model="acme/large")
    assert refusal(answer) == (400, "base_model_not_local", "model")


async def test_a_base_model_in_the_hubs_cache_is_used(
    api: Api, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    snapshot = tmp_path / "models--acme--small" / "snapshots" / ("0" * 40)
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(STARTER)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    cached = BaseModelEntry(hub="acme/small", revision="0" * 40, parameters=1, length=8)
    monkeypatch.setitem(api.app.state.models.entries, "acme/small", cached)
    file = await tenant.upload()
    assert (await preview(tenant, file["id"], model="acme/small")).status_code == 200


async def test_a_preview_needs_a_base_model(tenant: Tenant) -> None:
    file = await tenant.upload()
    answer = await tenant.http.get(f"/v1/files/{file['id']}/preview")
    assert refusal(answer) == (400, "missing_required_parameter", "model")


async def test_a_bad_file_is_refused_with_its_first_problem(tenant: Tenant) -> None:
    file = await tenant.upload(b'{"prompt": "x", "completion": null}\n', "bad.jsonl")
    answer = await preview(tenant, file["id"])
    assert refusal(answer) == (400, "invalid_file", "file_id")
    assert "bad.jsonl: Line 1, completion" in message(answer)


@pytest.mark.parametrize(
    ("query", "param"), [({"limit": 0}, "limit"), ({"limit": 1001}, "limit"), ({"max_seq_length": 3}, "max_seq_length")]
)
async def test_a_bad_query_is_refused_by_name(query: dict[str, int], param: str, tenant: Tenant) -> None:
    file = await tenant.upload()
    assert refusal(await preview(tenant, file["id"], **query)) == (400, "invalid_value", param)


async def test_nothing_is_left_on_disk(api: Api, tenant: Tenant) -> None:
    file = await tenant.upload()
    await preview(tenant, file["id"])
    assert list(api.app.state.uploads.iterdir()) == []
    assert json.loads((await preview(tenant, file["id"])).content)["rows"]


async def test_without_a_length_it_is_the_one_that_a_job_takes(tenant: Tenant) -> None:
    row = b'{"prompt": "%s", "completion": "5"}\n'
    file = await tenant.upload(row % b"x" * 3 + row % (b"word " * 3000) + row % b"x")
    summary = (await preview(tenant, file["id"])).json()["summary"]
    assert (summary["max_seq_length"], summary["rows_too_long"], summary["lines_too_long"]) == (2048, 1, [4])
    job = await tenant.job()
    assert job["method"]["supervised"]["hyperparameters"]["max_seq_length"] == summary["max_seq_length"]


async def test_many_rows_and_those_after_an_offset_can_be_seen(tenant: Tenant) -> None:
    file = await tenant.upload(jsonl(120))
    rows = (await preview(tenant, file["id"], limit=100, offset=15)).json()["rows"]
    assert [row["line"] for row in rows] == list(range(16, 116))
    assert (await preview(tenant, file["id"], offset=-1)).status_code == 400


async def test_repeats_are_counted_alone_and_against_another_dataset(tenant: Tenant, other: Tenant) -> None:
    training = await tenant.upload(jsonl(12) + b"\n" + jsonl(2))
    validation = await tenant.upload(jsonl(20))
    at = f"/v1/files/{validation['id']}/repeats"
    found = (await tenant.http.get(f"/v1/files/{training['id']}/repeats")).json()
    assert (found["rows"], found["duplicate_rows"], found["overlap"]) == (14, 2, None)
    found = (await tenant.http.get(at, params={"against": training["id"]})).json()
    assert (found["duplicate_rows"], found["overlap"]["shared_rows"]) == (0, 12)
    theirs = await other.upload(jsonl(20))
    refused = await tenant.http.get(at, params={"against": theirs["id"]})
    assert refusal(refused) == (404, "not_found", "file_id")
