"""Items over HTTP: fetched ahead, generated again, added, and hidden checks."""

from typing import Any

from fettle.comparisons.votes import Ballot
from tests.api.tenants import Tenant, message, refusal
from tests.fettle.comparisons import samples


class TestNext:
    async def test_items_come_ahead_and_again_after_a_reload(self, tenant: Tenant) -> None:
        made = await samples.comparison(tenant.db, tenant.project, prompts=4)
        at = f"/v1/comparisons/{made.id}"
        first = (await tenant.http.get(f"{at}/next?count=2")).json()
        assert first["choices"] == ["ranking", "both_bad", "skip"]
        assert first["progress"] == {"voted": 0, "open": 2, "left": 2, "wanted": 4}
        shown = [first["item"]["id"], *[item["id"] for item in first["upcoming"]]]
        assert len(set(shown)) == 2
        again = (await tenant.http.get(f"{at}/next?count=2&resume=true")).json()
        assert [again["item"]["id"], *[item["id"] for item in again["upcoming"]]] == shown
        await tenant.http.post(f"{at}/votes", json={"item_id": shown[0], "skip": True})
        after = (await tenant.http.get(f"{at}/next?count=2&resume=true")).json()
        assert after["item"]["id"] == shown[1]
        assert after["upcoming"][0]["id"] not in shown
        assert after["progress"] == {"voted": 1, "open": 2, "left": 1, "wanted": 4}

    async def test_an_annotator_holds_at_most_ten_open_items(self, tenant: Tenant) -> None:
        made = await samples.comparison(tenant.db, tenant.project, prompts=12)
        at = f"/v1/comparisons/{made.id}/next?count=5"
        counts = [len((await tenant.http.get(at)).json()["upcoming"]) for _ in range(2)]
        assert counts == [4, 4]
        third = (await tenant.http.get(at)).json()
        assert (third["item"], third["message"]) == (None, "Vote on the items that you have open.")

    async def test_an_own_vote_is_shown_with_its_item_for_editing(self, tenant: Tenant) -> None:
        made = await samples.comparison(tenant.db, tenant.project, prompts=1)
        at = f"/v1/comparisons/{made.id}"
        item = (await tenant.http.get(f"{at}/next")).json()["item"]
        vote = (await tenant.http.post(f"{at}/votes", json={"item_id": item["id"], "both_bad": True})).json()
        assert vote["id"] == item["vote_id"]
        assert "repeat" not in vote
        shown = (await tenant.http.get(f"{at}/votes/{vote['id']}")).json()
        assert shown["choice"] == "both_bad"
        assert shown["item"]["responses"] == item["responses"]


class TestProgress:
    async def test_votes_wanted_follow_the_overlap(self, tenant: Tenant) -> None:
        twice = await samples.comparison(tenant.db, tenant.project, prompts=3, votes_per_item=2)
        full = await samples.comparison(tenant.db, tenant.project, prompts=3, overlap="full")
        for name in ("Ann", "Bob", "Cem"):
            await samples.annotator(tenant.db, full, name)
        ann = await samples.annotator(tenant.db, twice, "Ann")
        task = await samples.next_task(tenant.db, twice, ann)
        assert task is not None
        await samples.cast(tenant.db, twice, ann, Ballot(task.item.id, "skip"))
        rows = (await tenant.http.get("/v1/comparisons")).json()["data"]
        found = {
            row["id"]: (row["progress"]["votes"], row["progress"]["votes_wanted"], row["annotators"]) for row in rows
        }
        assert found == {twice.id: (1, 6, 1), full.id: (0, 9, 3)}


class TestRegenerate:
    async def test_an_item_with_a_vote_is_generated_again_only_on_request(self, tenant: Tenant) -> None:
        made = await samples.comparison(tenant.db, tenant.project, prompts=2)
        ann = await samples.annotator(tenant.db, made, "Ann")
        task = await samples.next_task(tenant.db, made, ann)
        assert task is not None
        await samples.cast(tenant.db, made, ann, Ballot(task.item.id, "skip"))
        at = f"/v1/comparisons/{made.id}/items/{task.item.id}/regenerate"
        answer = await tenant.http.post(at, json={})
        assert refusal(answer)[:2] == (409, "item_has_votes")
        assert "has 1 vote on its responses" in message(answer)
        done = (await tenant.http.post(at, json={"delete_votes": True})).json()
        assert (done["deleted_votes"], done["ready"], done["responses"]) == (1, False, [])
        assert (await tenant.http.get(f"/v1/comparisons/{made.id}")).json()["status"] == "generating"

    async def test_exported_votes_keep_their_responses(self, tenant: Tenant) -> None:
        made = await samples.comparison(tenant.db, tenant.project, prompts=1)
        ann = await samples.annotator(tenant.db, made, "Ann")
        task = await samples.next_task(tenant.db, made, ann)
        assert task is not None
        await samples.cast(tenant.db, made, ann, Ballot(task.item.id, "ranking", ranking=task.vote.shown))
        await tenant.http.post(f"/v1/comparisons/{made.id}/export", json={})
        at = f"/v1/comparisons/{made.id}/items/{task.item.id}/regenerate"
        assert refusal(await tenant.http.post(at, json={"delete_votes": True}))[:2] == (409, "vote_exported")


class TestPrompts:
    async def test_prompts_are_added_and_generated(self, tenant: Tenant) -> None:
        made = await samples.comparison(tenant.db, tenant.project, prompts=2, sampling={"max_completion_tokens": 8})
        at = f"/v1/comparisons/{made.id}"
        answer = await tenant.http.post(f"{at}/prompts", json={"prompts": ["one", "two"]})
        assert answer.status_code == 200, answer.text
        assert (answer.json()["status"], answer.json()["progress"]["items"]) == ("generating", 4)
        items: list[dict[str, Any]] = (await tenant.http.get(f"{at}/items")).json()["data"]
        assert [(item["number"], item["ready"]) for item in items] == [(1, True), (2, True), (3, False), (4, False)]

    async def test_a_comparison_has_at_most_a_thousand(self, tenant: Tenant) -> None:
        made = await samples.comparison(tenant.db, tenant.project, prompts=2, sampling={"max_completion_tokens": 8})
        answer = await tenant.http.post(f"/v1/comparisons/{made.id}/prompts", json={"prompts": ["hi"] * 999})
        assert refusal(answer) == (400, "invalid_value", "prompts")
        assert "would have 1,001 prompts" in message(answer)


class TestGold:
    async def test_it_is_hidden_from_annotators_and_shown_to_its_owner(self, tenant: Tenant) -> None:
        made = await samples.comparison(tenant.db, tenant.project, prompts=2, check_every=2)
        at = f"/v1/comparisons/{made.id}"
        body = {"items": [{"prompt": "2 + 2 =", "ranked": ["4", ["5", "22"]]}]}
        (gold,) = (await tenant.http.post(f"{at}/gold", json=body)).json()["data"]
        assert [response["text"] for response in gold["responses"]] == ["4", "5", "22"]
        assert gold["source"] == "gold"
        await tenant.http.get(f"{at}/next")
        item = (await tenant.http.get(f"{at}/next")).json()["item"]
        assert item["id"] == gold["id"]
        assert set(item) == {"id", "vote_id", "prompt", "responses", "lease", "lease_expires_at"}
        assert (await tenant.http.get(at)).json()["progress"]["gold"] == 1
        gone = (await tenant.http.delete(f"{at}/gold/{gold['id']}")).json()
        assert (gone["deleted"], gone["deleted_votes"]) == (True, 0)
