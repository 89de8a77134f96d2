"""Votes that were made elsewhere, over HTTP: imported, exported and trained on."""

import json
from typing import Any

import httpx

from tests.api.tenants import Tenant, message, refusal
from tests.fettle.comparisons import samples


async def send(tenant: Tenant, comparison_id: str, rows: list[dict[str, Any]] | bytes, **fields: str) -> httpx.Response:
    content = rows if isinstance(rows, bytes) else "\n".join(map(json.dumps, rows)).encode()
    form = {"annotator": "Ann", **fields}
    at = f"/v1/comparisons/{comparison_id}/import"
    return await tenant.http.post(at, files={"file": ("votes.jsonl", content)}, data=form)


async def empty(tenant: Tenant, **body: Any) -> str:
    answer = await tenant.http.post("/v1/comparisons", json={"name": "elsewhere", "models": [], "prompts": [], **body})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def taste(count: int) -> list[dict[str, Any]]:
    """The shorter is better."""
    return [{"prompt": f"prompt {number}", "ranked": ["a", "aa", "aaa"]} for number in range(count)]


async def test_310_votes_of_one_taste_become_a_reward_model_job(tenant: Tenant) -> None:
    made = await empty(tenant)
    done = (await send(tenant, made, taste(310))).json()
    assert (done["votes"], done["new_items"], done["left_out"]["count"]) == (310, 310, 0)
    assert [each["name"] for each in done["annotators"]] == ["Ann"]
    shown = (await tenant.http.get(f"/v1/comparisons/{made}")).json()
    assert (shown["status"], shown["progress"]["imported_votes"], shown["annotators"]) == ("ready", 310, 1)
    (ann,) = (await tenant.http.get(f"/v1/comparisons/{made}/annotators")).json()["data"]
    assert (ann["name"], ann["kind"]) == ("Ann", "imported")
    found = (await tenant.http.get(f"/v1/comparisons/{made}/results")).json()
    assert found["rows"] == {"rankings": 310, "pairs": 930}
    assert found["annotators"][0]["position_bias"] is None
    answer = await tenant.http.post(f"/v1/comparisons/{made}/train", json={"model": "starter"})
    assert answer.status_code == 200, answer.text
    file = (await tenant.http.get(f"/v1/files/{answer.json()['training_file']}")).json()
    assert (file["validation"]["rows"], file["validation"]["shape"]) == (310, "ranking")


async def test_a_second_import_of_the_same_file_adds_nothing(tenant: Tenant) -> None:
    made = await empty(tenant)
    await send(tenant, made, taste(3))
    again = (await send(tenant, made, taste(3))).json()
    assert (again["votes"], again["new_items"], again["matched_items"], again["left_out"]["count"]) == (0, 0, 3, 3)
    assert again["left_out"]["data"][0]["line"] == 1
    bob = (await send(tenant, made, taste(3), annotator="Bob")).json()
    assert (bob["votes"], bob["new_items"]) == (3, 0)


async def test_votes_on_responses_that_were_generated_here_count_for_their_models(tenant: Tenant) -> None:
    made = await samples.comparison(tenant.db, tenant.project, prompts=3)
    rows = [{"prompt": f"prompt {number}", "ranked": [f"{number}-1", f"{number}-0"]} for number in (1, 2, 3)]
    done = (await send(tenant, made.id, rows)).json()
    assert (done["votes"], done["new_items"], done["matched_items"]) == (3, 0, 3)
    found = (await tenant.http.get(f"/v1/comparisons/{made.id}/results")).json()
    assert [each["model"] for each in found["strengths"]["models"]] == ["tuned", "starter"]


async def test_imported_items_are_not_handed_out_to_annotators(tenant: Tenant) -> None:
    made = await empty(tenant)
    await send(tenant, made, taste(3))
    following = (await tenant.http.get(f"/v1/comparisons/{made}/next")).json()
    assert (following["item"], following["progress"]["wanted"]) == (None, 0)


async def test_users_of_the_file_become_annotators_of_their_own(tenant: Tenant) -> None:
    made = await empty(tenant, mode="pick")
    rows = [{"prompt": "hi", "chosen": "a", "rejected": "b", "annotator": name} for name in ("x", "y")]
    done = (await send(tenant, made, rows, annotator="Studio")).json()
    assert [each["name"] for each in done["annotators"]] == ["Studio / x", "Studio / y"]
    votes = (await tenant.http.get(f"/v1/comparisons/{made}/votes")).json()["data"]
    assert {vote["choice"] for vote in votes} == {"pick"}
    gone = (await tenant.http.delete(f"/v1/comparisons/{made}/annotators/{done['annotators'][0]['id']}/votes")).json()
    assert gone["deleted"] == 1


async def test_a_file_with_an_error_changes_nothing(tenant: Tenant) -> None:
    made = await empty(tenant)
    answer = await send(tenant, made, [*taste(2), {"prompt": "hi", "ranked": ["a"]}])
    assert refusal(answer) == (400, "invalid_file", "file")
    assert message(answer).startswith("Line 3:")
    assert (await tenant.http.get(f"/v1/comparisons/{made}/items")).json()["data"] == []


async def test_forms_that_do_not_fit_are_refused(tenant: Tenant) -> None:
    made = await empty(tenant)
    at = f"/v1/comparisons/{made}/import"
    file = {"file": ("votes.jsonl", b"{}")}
    assert refusal(await tenant.http.post(at, files=file, data={}))[2] == "annotator"
    assert refusal(await tenant.http.post(at, files=file, data={"annotator": "Ann", "colour": "red"}))[2] == "colour"
    assert refusal(await tenant.http.post(at, files=file, data={"annotator": "Ann", "format": "x"}))[2] == "format"
    assert refusal(await tenant.http.post(at, data={"annotator": "Ann"}, files={"other": b"x"}))[2] == "file"
    answer = await send(tenant, made, b"x" * (17 << 20))
    assert answer.status_code == 413
