"""Reward functions of a project: saved, listed beside the built-in ones, and deleted."""

from typing import Any

import httpx
import pytest

from fettle.registry import reward_sources
from tests.api.tenants import Tenant, message, refusal

FUNCTIONS = "/v1/reward_functions"


async def test_each_change_of_the_source_is_a_version_and_the_newest_is_listed(tenant: Tenant) -> None:
    first = await tenant.reward_function(returns="1.0")
    assert (await tenant.reward_function(returns="1.0"))["id"] == first["id"]
    second = await tenant.reward_function(returns="2.0")
    assert (first["version"], second["version"]) == (1, 2)
    listed = (await tenant.http.get(FUNCTIONS)).json()["data"]
    assert [each["id"] for each in listed if "id" in each] == [second["id"]]
    assert "exact_match" in {each["name"] for each in listed}
    kept = (await tenant.http.get(f"{FUNCTIONS}/{second['id']}/versions")).json()["data"]
    assert [each["id"] for each in kept] == [second["id"], first["id"]]
    assert "return 1.0" in (await tenant.http.get(f"{FUNCTIONS}/{first['id']}")).json()["source"]


async def test_only_the_newest_versions_are_kept(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reward_sources, "VERSIONS_AT_MOST", 2)
    for value in range(4):
        newest = await tenant.reward_function("kept", returns=str(value))
    kept = (await tenant.http.get(f"{FUNCTIONS}/{newest['id']}/versions")).json()["data"]
    assert [each["version"] for each in kept] == [4, 3]


async def test_a_deleted_function_is_gone_with_its_versions_and_its_name_is_free(tenant: Tenant) -> None:
    old = await tenant.reward_function("gone", returns="1")
    new = await tenant.reward_function("gone", returns="2")
    assert (await tenant.http.delete(f"{FUNCTIONS}/{new['id']}")).json()["deleted"] is True
    for each in (old, new):
        assert refusal(await tenant.http.get(f"{FUNCTIONS}/{each['id']}"))[0] == 404
    assert (await tenant.reward_function("gone", returns="2"))["version"] == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"name": "exact_match", "source": "def reward(prompt, completion, example): return 1"}, "built-in"),
        ({"name": "x", "source": "def reward(prompt"}, "line 1 of the source"),
        ({"name": "x", "source": "y = 1"}, "defines neither"),
        ({"name": "a b", "source": "def reward(prompt, completion, example): return 1"}, "name"),
    ],
)
async def test_what_cannot_be_a_reward_function_is_refused(tenant: Tenant, body: dict[str, str], said: str) -> None:
    refused = await tenant.http.post(FUNCTIONS, json=body)
    assert refusal(refused)[0] == 400
    assert said in message(refused)


async def test_a_project_has_so_many_functions_at_most(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reward_sources, "FUNCTIONS_AT_MOST", 1)
    await tenant.reward_function("first")
    source = "def reward(prompt, completion, example): return 1"
    refused = await tenant.http.post(FUNCTIONS, json={"name": "second", "source": source})
    assert refusal(refused)[:2] == (409, "too_many_reward_functions")


class TestInJobs:
    """A job takes a saved function by name; it keeps the source and says which version that was."""

    @staticmethod
    async def create(tenant: Tenant, *functions: Any) -> httpx.Response:
        method = {"type": "reinforcement", "reinforcement": {"reward_functions": list(functions)}}
        return await tenant.create(method=method)

    async def test_the_newest_version_is_taken_and_recorded(self, tenant: Tenant) -> None:
        await tenant.reward_function("mine", returns="1.0")
        second = await tenant.reward_function("mine", returns="2.0")
        job = (await self.create(tenant, "exact_match", {"name": "mine", "weight": 0.5})).json()
        (built_in, own) = job["method"]["reinforcement"]["reward_functions"]
        assert built_in == "exact_match"
        assert (own["name"], own["version"], own["weight"]) == ("mine", second["version"], 0.5)
        await tenant.reward_function("mine", returns="3.0")
        rewards = (await tenant.http.get(f"/v1/fine_tuning/jobs/{job['id']}/rewards")).json()
        grader = rewards["reward_functions"][1]["grader"]
        assert (grader["version"], "return 2.0" in grader["source"]) == (2, True)

    async def test_an_exact_version_is_taken(self, tenant: Tenant) -> None:
        await tenant.reward_function("mine", returns="1.0")
        await tenant.reward_function("mine", returns="2.0")
        job = (await self.create(tenant, {"name": "mine", "version": 1})).json()
        (own,) = job["method"]["reinforcement"]["reward_functions"]
        assert (own["version"], "return 1.0" in own["source"]) == (1, True)
        again = await self.create(tenant, own)  # what a job shows can be sent again
        assert again.json()["method"]["reinforcement"]["reward_functions"] == [own]

    async def test_edits_of_a_jobs_rewards_take_names_as_well(self, tenant: Tenant) -> None:
        await tenant.reward_function("mine", returns="1.0")
        job = (await self.create(tenant, "exact_match")).json()
        path = f"/v1/fine_tuning/jobs/{job['id']}/rewards"
        edited = (await tenant.http.patch(path, json={"reward_functions": ["mine"]})).json()
        assert edited["reward_functions"][0]["grader"]["version"] == 1

    @pytest.mark.parametrize(
        ("asked", "said"),
        [
            ({"name": "mine", "version": 7}, "no version 7 of a reward function 'mine'; saved versions: 1."),
            ({"name": "mine", "version": "1"}, "saved versions: 1."),
            ({"name": "mine", "version": True}, "saved versions: 1."),
            ({"name": "theirs", "version": 1}, "saved versions: none."),
            ({"name": "mine", "version": 1, "source": "def reward(p, c, e): return 9"}, "has another source"),
            ({"name": "mine", "parameters": {"a": 1}}, "parameters"),
            ("theirs", "theirs"),
        ],
    )
    async def test_what_is_not_saved_here_is_refused(
        self, tenant: Tenant, other: Tenant, asked: Any, said: str
    ) -> None:
        await tenant.reward_function("mine", returns="1.0")
        await other.reward_function("theirs", returns="1.0")
        refused = await self.create(tenant, asked)
        assert refused.status_code == 400
        assert said in message(refused)
