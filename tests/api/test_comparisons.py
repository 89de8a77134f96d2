"""Comparisons over HTTP: created, voted on by invitation, exported, trained on."""

from typing import Any

import httpx
import pytest
from sqlalchemy import select

from api import isolation
from api.edge.rates import Rates
from fettle.comparisons.votes import Ballot
from fettle.tenancy import api_keys
from models import Comparison, ComparisonAnnotator
from tests.api.tenants import Tenant, message, refusal
from tests.conftest import Api
from tests.fettle.comparisons import samples

BODY = {"name": "taste", "models": ["starter"], "prompts": ["hi", [{"role": "user", "content": "there"}]]}


async def voted(tenant: Tenant, prompts: int, **changes: Any) -> Comparison:
    """With one annotator's vote on each item: the response with the lowest number is best."""
    made = await samples.comparison(tenant.db, tenant.project, prompts=prompts, **changes)
    ann = await samples.annotator(tenant.db, made, "Ann")
    while (task := await samples.next_task(tenant.db, made, ann)) is not None:
        await samples.cast(tenant.db, made, ann, Ballot(task.item.id, "ranking", ranking=sorted(task.vote.shown)))
    return made


def invited(api: Api, token: str) -> httpx.AsyncClient:
    return api.stranger(token)


class TestCreate:
    async def test_it_waits_for_a_worker_with_its_progress(self, tenant: Tenant) -> None:
        answer = await tenant.http.post("/v1/comparisons", json=BODY)
        assert answer.status_code == 200, answer.text
        made = answer.json()
        assert (made["status"], made["n"], made["mode"]) == ("generating", 4, "rank")
        counts = {"items": 2, "ready": 0, "failed": 0, "gold": 0, "imported": 0, "votes": 0}
        counts |= {"votes_wanted": 2, "imported_votes": 0}
        assert (made["progress"], made["annotators"]) == (counts, 0)
        assert made["waiting"] == "No worker is running. Start one with `fettle worker`."
        assert (await tenant.http.get(f"/v1/comparisons/{made['id']}")).json() == made
        following = (await tenant.http.get(f"/v1/comparisons/{made['id']}/next")).json()
        assert following["item"] is None
        assert "still being generated" in following["message"]

    async def test_prompts_come_out_of_a_file_without_its_answers(self, tenant: Tenant) -> None:
        file = await tenant.upload()
        made = (await tenant.http.post("/v1/comparisons", json={**BODY, "prompts": file["id"], "limit": 3})).json()
        items = (await tenant.http.get(f"/v1/comparisons/{made['id']}/items")).json()["data"]
        assert [item["prompt"] for item in items] == [[{"role": "user", "content": f"{n} + 1 ="}] for n in range(3)]

    @pytest.mark.parametrize(
        ("changes", "param"),
        [
            ({"models": ["starter", "starter", "starter"], "n": 2}, "n"),
            ({"overlap": "none", "votes_per_item": 2}, "votes_per_item"),
            ({"prompts": [[{"role": "assistant", "content": "hi"}]]}, "prompts"),
            ({"prompts": []}, "prompts"),
            ({"limit": 3}, "limit"),
            ({"prompts": ["hi"] * 1000, "n": 9}, "prompts"),  # 2.3 million tokens
            ({"prompts": ["x" * 90_000] * 45}, "prompts"),  # 4.05 million characters
            ({"prompts": ["hi"] * 300, "votes_per_item": 100}, "votes_per_item"),
        ],
    )
    async def test_what_cannot_be_compared_is_refused(
        self, tenant: Tenant, changes: dict[str, Any], param: str
    ) -> None:
        answer = await tenant.http.post("/v1/comparisons", json={**BODY, **changes})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


class TestInvitation:
    async def test_it_votes_blind_edits_and_undoes_in_its_comparison_alone(self, api: Api, tenant: Tenant) -> None:
        made = await samples.comparison(tenant.db, tenant.project)
        at = f"/v1/comparisons/{made.id}"
        sent = (await tenant.http.post(f"{at}/annotators", json={"name": "Ann"})).json()
        async with invited(api, sent["token"]) as ann:
            following = (await ann.get(f"{at}/next")).json()
            assert following["instructions"] == "Prefer the **shorter** one."
            item = following["item"]
            assert [set(each) for each in item["responses"]] == [{"id", "text"}] * 2
            ids = [each["id"] for each in item["responses"]]
            vote = (await ann.post(f"{at}/votes", json={"item_id": item["id"], "ranking": ids, "seconds": 3})).json()
            assert vote["ranking"] == [[ids[0]], [ids[1]]]
            again = await ann.post(f"{at}/votes", json={"item_id": item["id"], "ranking": [ids], "note": "equal"})
            assert (again.json()["id"], again.json()["ranking"]) == (vote["id"], [ids])
            assert len((await ann.get(f"{at}/votes/mine")).json()["data"]) == 1
            assert (await ann.delete(f"{at}/votes/{vote['id']}")).status_code == 200
            assert (await ann.get(f"{at}/next?resume=true")).json()["item"]["id"] == item["id"]
            for path in (at, f"{at}/results", f"{at}/votes", "/v1/files", f"/v1/projects/{tenant.project.id}"):
                assert refusal(await ann.get(path))[:2] == (403, "insufficient_scope")
            other = await samples.comparison(tenant.db, tenant.project)
            assert (await ann.get(f"/v1/comparisons/{other.id}/next")).status_code == 404
            await tenant.http.delete(f"{at}/annotators/{sent['id']}")
            assert refusal(await ann.get(f"{at}/next"))[:2] == (401, "invitation_revoked")

    async def test_it_is_kept_as_a_digest_and_rate_limited(
        self, api: Api, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = await samples.comparison(tenant.db, tenant.project)
        at = f"/v1/comparisons/{made.id}"
        sent = (await tenant.http.post(f"{at}/annotators", json={"name": "Ann"})).json()
        (row,) = (await tenant.http.get(f"{at}/annotators")).json()["data"]
        assert "token" not in row
        async with invited(api, sent["token"]) as ann:
            monkeypatch.setattr(api.app.state, "invitation_rates", Rates(burst=3, per_second=0.01))
            answers = [await ann.get(f"{at}/votes/mine") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert int(answers[-1].headers["retry-after"]) > 60
        async with tenant.db.snapshot() as session:
            (stored,) = await session.scalars(select(ComparisonAnnotator).where(ComparisonAnnotator.id == sent["id"]))
        assert stored.digest == api_keys.digest(sent["token"], api.app.state.pepper) != sent["token"]


class TestVotes:
    @pytest.mark.parametrize(
        ("sent", "words"),
        [
            ({}, "None was sent"),
            ({"skip": True, "both_bad": True}, "'both_bad' and 'skip' were sent"),
            ({"pick": "x"}, "does not take 'pick'"),
            ({"ranking": ["x"]}, "no response with the id 'x'"),
        ],
    )
    async def test_a_vote_that_does_not_fit_is_refused(self, tenant: Tenant, sent: dict[str, Any], words: str) -> None:
        made = await samples.comparison(tenant.db, tenant.project)
        item = (await tenant.http.get(f"/v1/comparisons/{made.id}/next")).json()["item"]
        answer = await tenant.http.post(f"/v1/comparisons/{made.id}/votes", json={"item_id": item["id"], **sent})
        assert answer.status_code == 400
        assert words in message(answer)

    async def test_an_annotators_votes_are_deleted_and_the_files_with_them_named(self, tenant: Tenant) -> None:
        made = await voted(tenant, 3)
        at = f"/v1/comparisons/{made.id}"
        file = (await tenant.http.post(f"{at}/export", json={})).json()["file"]["id"]
        (ann,) = (await tenant.http.get(f"{at}/annotators")).json()["data"]
        gone = (await tenant.http.delete(f"{at}/annotators/{ann['id']}/votes")).json()
        assert (gone["deleted"], gone["files"]) == (3, [file])
        assert (await tenant.http.get(f"{at}/votes")).json()["data"] == []


class TestExport:
    async def test_the_file_has_the_votes_and_they_no_longer_change(self, tenant: Tenant) -> None:
        made = await voted(tenant, 3)
        at = f"/v1/comparisons/{made.id}"
        done = (await tenant.http.post(f"{at}/export", json={})).json()
        assert (done["rows"], done["rule"], done["written"], len(done["votes"])) == ("rankings", "majority", 3, 3)
        assert done["file"]["validation"]["shape"] == "ranking"
        content = (await tenant.http.get(f"/v1/files/{done['file']['id']}/content")).text
        assert '"ranked":["1-0","1-1"]' in content
        votes = (await tenant.http.get(f"{at}/votes")).json()["data"]
        assert all(vote["exported"] for vote in votes)

    async def test_training_on_too_few_votes_is_refused_with_the_number_that_is_missing(self, tenant: Tenant) -> None:
        made = await voted(tenant, 3)
        answer = await tenant.http.post(f"/v1/comparisons/{made.id}/train", json={"model": "starter"})
        assert refusal(answer)[:2] == (400, "too_few_votes")
        assert "7 more rankings are needed" in message(answer)
        assert (await tenant.http.get("/v1/files")).json()["data"] == []

    @pytest.mark.parametrize("method", ["reward_model", "dpo"])
    async def test_file_and_job_come_of_one_request(self, tenant: Tenant, method: str) -> None:
        made = await voted(tenant, 12)
        body = {"model": "starter", "method": {"type": method}}
        at, headers = f"/v1/comparisons/{made.id}/train", {"Idempotency-Key": "once"}
        answer = await tenant.http.post(at, json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        job = answer.json()
        assert job["method"]["type"] == method
        assert (await tenant.http.get(f"/v1/files/{job['training_file']}")).json()["validation"]["rows"] == 12
        again = await tenant.http.post(at, json=body, headers=headers)
        assert again.json().get("id") == job["id"], again.text
        assert len((await tenant.http.get("/v1/files")).json()["data"]) == 1


async def test_results_say_who_wins_and_how_people_vote(tenant: Tenant) -> None:
    made = await voted(tenant, 12)
    answer = await tenant.http.get(f"/v1/comparisons/{made.id}/results")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert [each["model"] for each in found["strengths"]["models"]] == ["starter", "tuned"]
    assert found["strengths"]["flips"]["votes"] == 7
    assert (found["alpha"], found["annotators"][0]["name"], found["annotators"][0]["votes"]) == (None, "Ann", 12)


async def test_results_are_computed_once_for_the_same_votes(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await voted(tenant, 12)
    at = f"/v1/comparisons/{made.id}"
    first = (await tenant.http.get(f"{at}/results")).json()
    run, works = isolation.run, []

    async def watched(pool: Any, work: str, *given: Any, **limits: Any) -> bytes:
        works.append(work)
        return await run(pool, work, *given, **limits)

    monkeypatch.setattr(isolation, "run", watched)
    assert (await tenant.http.get(f"{at}/results")).json() == first
    assert works == []
    (vote, *_) = (await tenant.http.get(f"{at}/votes")).json()["data"]
    deleted = await tenant.http.delete(f"{at}/annotators/{vote['annotator_id']}/votes")
    assert deleted.status_code == 200, deleted.text
    assert (await tenant.http.get(f"{at}/results")).json()["votes"] == 0
    assert works == ["comparison_results"]
