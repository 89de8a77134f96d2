"""The page of a job's rollouts in a real browser."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from examples import grpo
from tests.console.conftest import MARKUP, Visitor
from tests.e2e.conftest import Server, wait_for

pytestmark = pytest.mark.slow

Visit = Callable[..., Visitor]


@pytest.fixture(scope="module")
def rewarded(server: Server) -> Any:
    """A finished job of a few steps whose prompts hold markup."""
    rows = [json.loads(line) for line in grpo.rows(16, "train", 1)]
    content = b"".join(json.dumps({**row, "prompt": f"{MARKUP} {row['prompt']}"}).encode() + b"\n" for row in rows)
    client: Any = server.client
    hyperparameters = {"n_epochs": 2, "batch_size": 4, "group_size": 4, "max_completion_tokens": 40}
    created = client.fine_tuning.jobs.create(
        model="starter",
        training_file=client.files.create(file=("questions.jsonl", content), purpose="fine-tune").id,
        suffix="tried",
        method={
            "type": "reinforcement",
            "reinforcement": {"reward_functions": grpo.REWARDS, "hyperparameters": hyperparameters},
        },
    )
    ended = server.wait_for_end(created.id, 600)
    assert ended.status == "succeeded", ended.error
    return ended


def rollouts(server: Server, job: Any, **query: Any) -> list[dict[str, Any]]:
    answer = server.http.get(f"/v1/fine_tuning/jobs/{job.id}/rollouts", params={"limit": 100, **query})
    rows: list[dict[str, Any]] = answer.raise_for_status().json()["data"]
    return rows


class TestRollouts:
    def test_a_prompts_completions_are_read_from_best_to_worst_at_each_step(
        self, server: Server, visit: Visit, rewarded: Any
    ) -> None:
        visitor = visit()
        page = visitor.open(f"/jobs/{rewarded.id}", "tried")
        page.get_by_role("link", name="Rollouts").click()
        page.get_by_role("heading", level=1, name="Rollouts").wait_for()
        last = max(row["step"] for row in rollouts(server, rewarded, sort="-step"))
        assert last > 1
        page.get_by_text(f"Step {last} of {last}").wait_for()
        page.get_by_label("Step").press("Home")  # of a slider: its first value
        page.get_by_text(f"Step 1 of {last}").wait_for()

        first = rollouts(server, rewarded, step=1)
        prompts = {row["group"] for row in first}
        page.get_by_text(f"{len(prompts)} prompts, {len(first)} completions").wait_for()
        group = [row for row in first if row["group"] == first[0]["group"]]
        shown = page.get_by_role("region", name=f"Prompt {first[0]['group'] + 1}", exact=True)
        assert MARKUP in shown.inner_text()
        assert page.locator("main img, main b").count() == 0
        completions = [each.strip() for each in shown.locator(".rollout .said").all_inner_texts()]
        rewards = {(row["completion"].strip() or "(empty)"): row["reward"] for row in group}
        assert len(completions) == len(rewards)  # those alike are shown once
        ordered = [rewards[text] for text in completions]
        assert ordered == sorted(ordered, reverse=True)

        page.get_by_label("Step").press("End")
        page.get_by_text(f"Step {last} of {last}").wait_for()
        newest = rollouts(server, rewarded, step=last)[0]
        earlier = rollouts(server, rewarded, prompt_of=newest["id"], sort="-step", after=f"rollout-{last}-0")
        shown = page.get_by_role("region", name=f"Prompt {newest['group'] + 1}", exact=True)
        shown.get_by_text("Compare with an earlier step").click()
        shown.get_by_text(f"The best at step {earlier[0]['step']} had the reward").wait_for()
        assert visitor.serious_violations() == []

    def test_pairs_that_somebody_picked_become_a_dataset(self, server: Server, visit: Visit, rewarded: Any) -> None:
        page = visit().open(f"/jobs/{rewarded.id}/rollouts", "Rollouts")
        page.get_by_label("Step").press("Home")  # its answers differ there; those that were cut off are never better
        finished, two = (
            page.get_by_role("button", name=name) for name in ("Better: completion", "Worse: completion 2")
        )
        first = page.get_by_role("region").filter(has=finished).filter(has=two).first
        button = first.get_by_role("button", name="Better: completion").last
        better = int(str(button.get_attribute("aria-label")).split()[-1])
        worse = 2 if better == 1 else 1
        first.get_by_role("button", name=f"Worse: completion {worse}", exact=True).click()
        button.click()
        page.get_by_role("heading", name="1 pair picked").wait_for()
        texts = [each.strip() for each in first.locator(".rollout .said").all_inner_texts()]
        page.get_by_role("button", name="Save as a dataset").click()
        page.get_by_role("heading", level=1, name="tried-picked.jsonl").wait_for()
        (row,) = server.client.files.content(page.url.rpartition("/")[2]).text.splitlines()
        pair = json.loads(row)
        assert pair["preferred_output"][0]["content"].strip() == texts[better - 1]
        assert pair["non_preferred_output"][0]["content"].strip() == texts[worse - 1]

    def test_rewards_are_tried_and_edited_while_the_job_runs(self, server: Server, visit: Visit, rewarded: Any) -> None:
        client: Any = server.client
        hyperparameters = {"n_epochs": 50, "batch_size": 4, "group_size": 4, "max_completion_tokens": 8}
        method = {"reward_functions": ["answer_correct"], "hyperparameters": hyperparameters}
        job = client.fine_tuning.jobs.create(
            model="starter",
            training_file=rewarded.training_file,
            method={"type": "reinforcement", "reinforcement": method},
        )
        wait_for(lambda: bool(rollouts(server, job)), 120, "the first step")
        page = visit().open(f"/jobs/{job.id}/rollouts", "Rollouts")
        page.get_by_role("button", name="Edit the rewards").click()
        page.get_by_label("Weight of answer_correct").fill("0.5")
        page.get_by_role("button", name="Add", exact=True).click()
        source = f"def reward(prompt, completion, example):\n    print({MARKUP!r})\n    return 2"
        page.get_by_label("Source of my_reward").fill(source)
        page.get_by_role("button", name="Try on 6 completions").click()
        page.get_by_text("Mean score 2, slowest").wait_for()
        assert page.locator("main img, main b").count() == 0
        page.get_by_role("button", name="Save as version 2").click()
        page.get_by_text("Version 2 is the newest one.").wait_for()
        entries = server.http.get(f"/v1/fine_tuning/jobs/{job.id}/rewards").json()["reward_functions"]
        assert [(each["name"], each["weight"]) for each in entries] == [("answer_correct", 0.5), ("my_reward", 1.0)]
        wait_for(lambda: bool(rollouts(server, job, reward_version=2)), 120, "a step that version 2 scored")
        page.get_by_text("scored by version 2 of the rewards").wait_for()
        client.fine_tuning.jobs.cancel(job.id)
        server.wait_for_end(job.id)

    def test_pairs_for_dpo_are_downloaded(self, server: Server, visit: Visit, rewarded: Any) -> None:
        page = visit().open(f"/jobs/{rewarded.id}/rollouts", "Rollouts")
        with page.expect_download() as downloaded:
            page.get_by_role("link", name="Download pairs for DPO").click()
        path = f"/v1/fine_tuning/jobs/{rewarded.id}/rollouts/export"
        expected = server.http.get(path, params={"format": "dpo"}).raise_for_status().content
        assert downloaded.value.path().read_bytes() == expected

    def test_a_job_without_rollouts_says_which_jobs_have_them(self, visit: Visit, job: Any) -> None:
        page = visit().open(f"/jobs/{job.id}/rollouts", "Rollouts")
        page.get_by_role("heading", name="This job has no rollouts").wait_for()

    @pytest.mark.parametrize(("width", "scheme"), [("desktop", "light"), ("phone", "dark")])
    def test_the_page_is_accessible_and_fits_the_screen(
        self, visit: Visit, rewarded: Any, width: str, scheme: str
    ) -> None:
        visitor = visit(width, scheme)
        page = visitor.open(f"/jobs/{rewarded.id}/rollouts", "Rollouts")
        assert visitor.serious_violations() == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
