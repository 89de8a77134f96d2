"""A comparison from its prompts to a reward model, on a real server with its worker and engine."""

import json
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Server, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ITEMS = 12
BODY = {
    "name": "which is shorter",
    "models": ["starter"],
    "prompts": [
        f"Tom has {number} apples and buys 3. How many apples does Tom have?" for number in range(2, 2 + ITEMS)
    ],
    "n": 2,
    "sampling": {"temperature": 1.5, "max_completion_tokens": 64},
    "seed": 7,
}


def vote_for_the_shorter(server: Server, comparison: str, token: str) -> int:
    """How many items were voted on. Not for the longer: one that was cut off is never exported as the better one."""
    votes = 0
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as annotator:
        at = f"/v1/comparisons/{comparison}"
        while (item := annotator.get(f"{at}/next").raise_for_status().json()["item"]) is not None:
            shortest = sorted(item["responses"], key=lambda each: (len(each["text"]), each["text"]))
            ballot = {"item_id": item["id"], "ranking": [each["id"] for each in shortest]}
            annotator.post(f"{at}/votes", json=ballot).raise_for_status()
            votes += 1
    return votes


def test_votes_on_generated_responses_train_a_reward_model(server: Server) -> None:
    created = server.http.post("/v1/comparisons", json=BODY).raise_for_status().json()
    at = f"/v1/comparisons/{created['id']}"

    def state() -> dict[str, Any]:
        found: dict[str, Any] = server.http.get(at).json()
        return found

    wait_for(lambda: state()["status"] != "generating", 240, "the responses")
    assert state()["progress"].items() >= {"items": ITEMS, "ready": ITEMS, "failed": 0, "votes": 0}.items(), state()
    invited = server.http.post(f"{at}/annotators", json={"name": "Ann"}).raise_for_status().json()
    assert vote_for_the_shorter(server, created["id"], invited["token"]) == ITEMS
    exported = server.http.post(f"{at}/export", json={}).raise_for_status().json()
    assert (exported["rows"], exported["written"], exported["left_out"]) == ("rankings", ITEMS, 0)
    rows = [json.loads(line) for line in server.client.files.content(exported["file"]["id"]).text.splitlines()]
    assert all(len(row["ranked"][0]) <= len(row["ranked"][1]) for row in rows)
    job = server.client.fine_tuning.jobs.create(
        model="starter",
        training_file=exported["file"]["id"],
        seed=11,
        method={"type": "reward_model", "reward_model": {"hyperparameters": {"n_epochs": 1, "batch_size": 4}}},  # type: ignore[typeddict-item]
    )
    ended = server.wait_for_end(job.id, 400)
    assert ended.status == "succeeded", ended.error
