"""Reinforcement over HTTP: what a job may ask for, its rewards edited, its rollouts listed and exported."""

import json
from pathlib import Path
from typing import Any

from fettle import ids
from fettle.rollouts import rows as stored
from fettle.rollouts import summaries
from fettle.storage import artifacts
from models import JobStatus, RolloutChunk
from tests.api.tenants import Tenant, message, refusal

GRADERS = [{"name": "exact_match", "weight": 1.0, "grader": {"type": "function", "function": "exact_match"}}]
JOBS = "/v1/fine_tuning/jobs"
RUN = "/v1/fine_tuning/alpha/graders/run"
PROMPTS = b"".join(json.dumps({"prompt": f"{n} + 1 =", "answer": str(n + 1)}).encode() + b"\n" for n in range(12))


def method(type: str = "reinforcement", **judges: Any) -> dict[str, Any]:
    return {"type": type, type: judges or {"reward_functions": ["exact_match"]}}


async def job(tenant: Tenant, **judges: Any) -> Any:
    return await tenant.job(training_file=(await tenant.upload(PROMPTS))["id"], method=method(**judges))


class TestCreate:
    async def test_every_auto_is_resolved_and_ten_prompts_are_enough(self, tenant: Tenant) -> None:
        made = (await job(tenant))["method"]["reinforcement"]
        assert made["reward_functions"] == ["exact_match"]
        asked = made["hyperparameters"]
        assert (asked["batch_size"], asked["n_epochs"], asked["group_size"]) == (12, 50, 8)  # 12 prompts: 1 step each
        assert (asked["loss_type"], asked["kl_beta"], asked["temperature"]) == ("dapo", 0.0, 1.0)

    async def test_grpo_is_another_name(self, tenant: Tenant) -> None:
        file = (await tenant.upload(PROMPTS))["id"]
        asked = {"reward_functions": ["exact_match"], "hyperparameters": {"group_size": 4}}
        made = await tenant.job(training_file=file, method={"type": "grpo", "grpo": asked})
        assert made["method"]["type"] == "reinforcement"
        assert made["method"]["reinforcement"]["hyperparameters"]["group_size"] == 4

    async def test_compute_multiplier_scales_the_group(self, tenant: Tenant) -> None:
        made = await job(tenant, reward_functions=["exact_match"], hyperparameters={"compute_multiplier": 2.0})
        assert made["method"]["reinforcement"]["hyperparameters"]["group_size"] == 16

    async def test_what_has_no_effect_here_is_accepted_and_the_events_say_so(self, tenant: Tenant) -> None:
        python = {"type": "python", "name": "p", "source": "def grade(sample, item):\n    return 1", "image_tag": "v9"}
        several = {"type": "multi", "graders": {"own": python}, "calculate_output": "own"}
        for grader in (python, several):
            made = await job(tenant, grader=grader, hyperparameters={"reasoning_effort": "low"})
            events = (await tenant.http.get(f"{JOBS}/{made['id']}/events")).json()["data"]
            said = [event["message"] for event in events if "has no effect" in event["message"]]
            assert len(said) == 2
            assert any("reasoning_effort 'low'" in each for each in said)
            assert any("image_tag 'v9'" in each for each in said)
        plain = await job(tenant)
        events = (await tenant.http.get(f"{JOBS}/{plain['id']}/events")).json()["data"]
        assert [event["message"] for event in events] == [f"Created fine-tuning job: {plain['id']}"]

    async def test_openais_graders_are_taken_in_both_shapes(self, tenant: Tenant) -> None:
        grader = {
            "type": "string_check",
            "name": "same",
            "operation": "eq",
            "input": "{{sample.output_text}}",
            "reference": "{{item.answer}}",
        }
        for judges in ({"grader": grader}, {"graders": grader}, {"graders": {"same": grader}}):
            made = await job(tenant, **judges)
            rewards = (await tenant.http.get(f"{JOBS}/{made['id']}/rewards")).json()
            assert [(entry["name"], entry["weight"]) for entry in rewards["reward_functions"]] == [("same", 1.0)]

    async def test_without_rewards_or_with_unknown_ones_there_is_no_job(self, tenant: Tenant) -> None:
        file = (await tenant.upload(PROMPTS))["id"]
        none = await tenant.create(training_file=file, method={"type": "reinforcement", "reinforcement": {}})
        assert refusal(none)[0] == 400
        assert "reward_functions" in message(none)
        odd = await tenant.create(training_file=file, method=method(reward_functions=["no_such"]))
        assert refusal(odd)[0] == 400
        assert "no_such" in message(odd)

    async def test_a_batch_larger_than_the_file_would_make_no_step_and_is_refused(self, tenant: Tenant) -> None:
        file = (await tenant.upload(PROMPTS))["id"]
        asked = {"reward_functions": ["exact_match"], "hyperparameters": {"batch_size": 13}}
        answer = await tenant.create(training_file=file, method=method(**asked))
        assert refusal(answer) == (400, "invalid_value", "method.reinforcement.hyperparameters.batch_size")
        assert "12 prompts" in message(answer)

    async def test_prompts_alone_are_no_dataset_for_sft(self, tenant: Tenant) -> None:
        answer = await tenant.create(training_file=(await tenant.upload(PROMPTS))["id"])
        assert refusal(answer) == (400, "invalid_training_file", "training_file")
        assert "reinforcement" in message(answer)


class TestRewards:
    async def test_an_edit_is_a_new_version(self, tenant: Tenant) -> None:
        made = await job(tenant)
        edit = {"reward_functions": ["exact_match", {"name": "think_format", "weight": 0.1}]}
        answer = await tenant.http.patch(f"{JOBS}/{made['id']}/rewards", json=edit)
        assert answer.json()["version"] == 2
        now = (await tenant.http.get(f"{JOBS}/{made['id']}/rewards")).json()
        assert now["version"] == 2
        assert [entry["weight"] for entry in now["reward_functions"]] == [1.0, 0.1]

    async def test_history_is_not_edited_nor_what_learns_from_no_rewards(self, tenant: Tenant) -> None:
        made = await job(tenant)
        await tenant.end(made["id"], JobStatus.SUCCEEDED)
        edit = {"reward_functions": ["exact_match"]}
        ended = await tenant.http.patch(f"{JOBS}/{made['id']}/rewards", json=edit)
        assert refusal(ended)[:2] == (409, "job_not_active")
        taught = await tenant.job()
        without = await tenant.http.patch(f"{JOBS}/{taught['id']}/rewards", json=edit)
        assert refusal(without)[:2] == (409, "job_without_rewards")
        assert "has no graders" in without.text  # rlhf has rewards, but no graders either


def asking(model: str, function: str = "judge") -> Any:
    return {"reward_functions": [{"name": function, "parameters": {"model": model}}]}


class TestModelsAsJudges:
    async def test_a_job_may_be_judged_by_a_base_model_or_by_the_projects_own(
        self, tenant: Tenant, tmp_path: Path
    ) -> None:
        chats = await tenant.publish((await tenant.job())["id"], tmp_path)
        scores = await tenant.publish((await tenant.job())["id"], tmp_path)
        await tenant.now_scores(scores)
        score_model = {"type": "score_model", "name": "s", "input": [{"role": "user", "content": "x"}]}
        several = {"a": {**score_model, "model": "starter"}, "b": {**score_model, "model": chats}}
        multi = {"type": "multi", "name": "m", "graders": several, "calculate_output": "a + b"}
        for judges in (asking("starter"), asking(chats), asking(scores, "reward_model"), {"grader": multi}):
            made = await job(tenant, **judges)
            answer = await tenant.http.patch(f"{JOBS}/{made['id']}/rewards", json=judges)
            assert answer.json()["version"] == 2

    async def test_another_tenants_model_is_as_unknown_as_none_and_no_job_is_made(
        self, tenant: Tenant, other: Tenant, tmp_path: Path
    ) -> None:
        foreign = await other.publish((await other.job())["id"], tmp_path)
        await other.now_scores(foreign)
        file = (await tenant.upload(PROMPTS))["id"]
        before = (await tenant.http.get(JOBS)).json()["data"]
        own = await job(tenant)
        where = f"{JOBS}/{own['id']}/rewards"
        for function in ("reward_model", "judge"):
            said = []
            for name in (foreign, "ft:starter:nobody::none"):
                asked = asking(name, function)
                created = await tenant.create(training_file=file, method=method(**asked))
                edited = await tenant.http.patch(where, json=asked)
                ran = await tenant.http.post(
                    "/v1/fine_tuning/alpha/graders/run",
                    json={
                        "grader": {
                            "type": "function",
                            "name": "f",
                            "function": function,
                            "parameters": {"model": name},
                        },
                        "model_sample": "x",
                    },
                )
                assert refusal(created) == (404, "model_not_found", "method.reinforcement")
                assert refusal(edited) == refusal(ran) == (404, "model_not_found", "model")
                assert message(created) == message(edited) == message(ran)
                said.append(message(created).replace(name, "NAME"))
            assert said[0] == said[1]
        assert (await tenant.http.get(where)).json()["version"] == 1
        assert len((await tenant.http.get(JOBS)).json()["data"]) == len(before) + 1

    async def test_a_reward_model_does_not_chat_and_what_chats_does_not_score(
        self, tenant: Tenant, tmp_path: Path
    ) -> None:
        scores = await tenant.publish((await tenant.job())["id"], tmp_path)
        await tenant.now_scores(scores)
        file = (await tenant.upload(PROMPTS))["id"]
        chatting = await tenant.create(training_file=file, method=method(**asking(scores)))
        assert refusal(chatting) == (400, "model_not_supported", "method.reinforcement")
        assert "is a reward model" in message(chatting)
        scoring = await tenant.create(training_file=file, method=method(**asking("starter", "reward_model")))
        assert refusal(scoring) == (400, "model_not_supported", "method.reinforcement")
        assert "'starter' is not a reward model" in message(scoring)

    async def test_a_judge_is_not_deleted_while_a_job_needs_it(self, tenant: Tenant, tmp_path: Path) -> None:
        judge = await tenant.publish((await tenant.job())["id"], tmp_path)
        made = await job(tenant, **asking(judge))
        refused = await tenant.http.delete(f"/v1/models/{judge}")
        assert refusal(refused)[:2] == (409, "model_in_use")
        assert made["id"] in message(refused)
        await tenant.end(made["id"], JobStatus.CANCELLED)
        assert (await tenant.http.delete(f"/v1/models/{judge}")).json()["deleted"] is True


class TestRollouts:
    async def test_a_step_that_no_run_has_is_refused_by_name(self, tenant: Tenant) -> None:
        made = await job(tenant)
        for step in (0, 2**31, 10**20):
            answer = await tenant.http.get(f"{JOBS}/{made['id']}/rollouts", params={"step": step})
            assert refusal(answer) == (400, "invalid_value", "step")

    async def test_they_are_listed_filtered_and_exported(self, tenant: Tenant) -> None:
        made = await job(tenant)
        rows = [stored.row(1, 0, said("3"), scored(0.0), 1), stored.row(1, 1, said("2"), scored(1.0), 1)]
        await artifacts.put_bytes(tenant.storage, "chunk", stored.to_parquet(rows))
        async with tenant.db.transaction() as session:
            session.add(
                RolloutChunk(
                    id=ids.new("rollouts-"),
                    job_id=made["id"],
                    step=1,
                    rows=2,
                    summary=summaries.of_step(rows, GRADERS),
                    storage_key="chunk",
                )
            )
        where = f"{JOBS}/{made['id']}/rollouts"
        page = (await tenant.http.get(where, params={"sort": "-reward", "limit": 1})).json()
        assert (page["data"][0]["completion"], page["has_more"]) == ("2", True)
        after = (await tenant.http.get(where, params={"sort": "-reward", "after": page["last_id"]})).json()
        assert [row["completion"] for row in after["data"]] == ["3"]
        assert (await tenant.http.get(where, params={"step": 2})).json()["data"] == []
        low = (await tenant.http.get(where, params={"max_reward": 0.5})).json()
        assert [row["reward"] for row in low["data"]] == [0.0]
        same = (await tenant.http.get(where, params={"prompt_of": "rollout-1-1"})).json()
        assert [row["completion"] for row in same["data"]] == ["3", "2"]
        for unknown in ("rollout-1-7", "rollout-9999999999-0", "x"):
            refused = await tenant.http.get(where, params={"prompt_of": unknown})
            assert refusal(refused) == (400, "invalid_value", "prompt_of")
        pairs = await tenant.http.get(f"{where}/export", params={"format": "dpo"})
        assert "preferences.jsonl" in pairs.headers["content-disposition"]
        (pair,) = pairs.text.splitlines()
        assert json.loads(pair)["preferred_output"][0]["content"] == "2"


def said(completion: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": "1 + 1 ="}]
    return {
        "group": 0,
        "messages": messages,
        "item": {"answer": "2"},
        "completion": completion,
        "tokens": 1,
        "stop_reason": "stop",
    }


def scored(reward: float) -> dict[str, Any]:
    return {"reward": reward, "scores": {"exact_match": reward}, "printed": "", "errors": {}}
