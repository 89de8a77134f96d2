"""A project lets another one ask a model of its own, and nothing more."""

from pathlib import Path

from tests.api.tenants import Tenant, refusal


async def test_another_project_may_ask_the_model_until_the_permission_ends(
    tenant: Tenant, other: Tenant, tmp_path: Path
) -> None:
    model = await tenant.publish((await tenant.job())["id"], tmp_path)
    path = f"/v1/fine_tuning/checkpoints/{model}/permissions"
    chat = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    assert (await other.http.post("/v1/chat/completions", json=chat)).status_code == 404
    permission = await tenant.permission(model, other.project.id)
    assert await tenant.permission(model, other.project.id) == permission  # twice is as good as once
    assert (await other.http.post("/v1/chat/completions", json=chat)).status_code == 503  # no engine is here
    assert (await other.http.get(f"/v1/models/{model}")).json()["owned_by"] == tenant.project.id
    shown = (await tenant.http.get(path, params={"project_id": other.project.id})).json()["data"]
    assert [(row["id"], row["project_id"]) for row in shown] == [(permission, other.project.id)]
    assert (await tenant.http.delete(f"{path}/{permission}")).json()["deleted"] is True
    assert (await other.http.post("/v1/chat/completions", json=chat)).status_code == 404
    assert (await tenant.http.get(path)).json()["data"] == []


async def test_it_may_neither_train_on_it_nor_delete_it_nor_pass_it_on(
    tenant: Tenant, other: Tenant, tmp_path: Path
) -> None:
    model = await tenant.publish((await tenant.job())["id"], tmp_path)
    await tenant.permission(model, other.project.id)
    assert refusal(await other.create(model=model))[:2] == (404, "model_not_found")
    assert refusal(await other.http.delete(f"/v1/models/{model}"))[:2] == (404, "model_not_found")
    path = f"/v1/fine_tuning/checkpoints/{model}/permissions"
    assert refusal(await other.http.post(path, json={"project_ids": [other.project.id]}))[0] == 404
    assert refusal(await other.http.get(path))[0] == 404
    assert model not in (await other.http.get("/v1/models")).text


async def test_permissions_end_with_the_model(tenant: Tenant, other: Tenant, tmp_path: Path) -> None:
    model = await tenant.publish((await tenant.job())["id"], tmp_path)
    await tenant.permission(model, other.project.id)
    assert (await tenant.http.delete(f"/v1/models/{model}")).status_code == 200
    assert (await other.http.get(f"/v1/models/{model}")).status_code == 404


async def test_a_model_stays_while_a_job_of_another_project_asks_it(
    tenant: Tenant, other: Tenant, tmp_path: Path
) -> None:
    model = await tenant.publish((await tenant.job())["id"], tmp_path)
    permission = await tenant.permission(model, other.project.id)
    asked = [{"role": "user", "content": "Score {{sample.output_text}}."}]
    judge = {"type": "score_model", "name": "judge", "model": model, "input": asked, "range": [0, 1]}
    created = await other.create(method={"type": "reinforcement", "reinforcement": {"grader": judge}})
    assert created.status_code == 200, created.text
    assert refusal(await tenant.http.delete(f"/v1/models/{model}"))[:2] == (409, "model_in_use")
    path = f"/v1/fine_tuning/checkpoints/{model}/permissions/{permission}"
    assert (await tenant.http.delete(path)).status_code == 200
    assert (await tenant.http.delete(f"/v1/models/{model}")).status_code == 200


async def test_a_project_that_is_not_there_is_refused(tenant: Tenant, tmp_path: Path) -> None:
    model = await tenant.publish((await tenant.job())["id"], tmp_path)
    path = f"/v1/fine_tuning/checkpoints/{model}/permissions"
    assert refusal(await tenant.http.post(path, json={"project_ids": ["proj_x"]})) == (
        400,
        "invalid_value",
        "project_ids",
    )
