"""From a job to a comparison of its models in one request."""

from pathlib import Path

from tests.api.tenants import Tenant, jsonl, message, refusal


class TestBaseAndTuned:
    async def test_the_models_answer_the_validation_prompts(self, tenant: Tenant, tmp_path: Path) -> None:
        held_out = await tenant.upload(jsonl(60))
        job = await tenant.job(validation_file=held_out["id"])
        tuned = await tenant.publish(job["id"], tmp_path)
        answer = await tenant.http.post(f"/v1/fine_tuning/jobs/{job['id']}/comparison", json={})
        assert answer.status_code == 200, answer.text
        made = answer.json()
        assert (made["models"], made["mode"], made["n"]) == (["starter", tuned], "pick", 2)
        assert (made["progress"]["items"], made["fine_tuning_job_id"]) == (50, job["id"])
        items = (await tenant.http.get(f"/v1/comparisons/{made['id']}/items?limit=1")).json()["data"]
        assert items[0]["prompt"] == [{"role": "user", "content": "0 + 1 ="}]

    async def test_own_prompts_take_the_place_of_the_validation_file(self, tenant: Tenant, tmp_path: Path) -> None:
        job = await tenant.job()
        await tenant.publish(job["id"], tmp_path)
        at = f"/v1/fine_tuning/jobs/{job['id']}/comparison"
        answer = await tenant.http.post(at, json={})
        assert refusal(answer) == (400, "invalid_value", "prompts")
        assert "has no validation file" in message(answer)
        made = (await tenant.http.post(at, json={"prompts": ["hi"], "name": "mine", "mode": "rank"})).json()
        assert (made["name"], made["progress"]["items"], made["n"]) == ("mine", 1, 4)

    async def test_a_job_without_a_model_is_refused(self, tenant: Tenant) -> None:
        job = await tenant.job()
        answer = await tenant.http.post(f"/v1/fine_tuning/jobs/{job['id']}/comparison", json={"prompts": ["hi"]})
        assert refusal(answer)[:2] == (409, "no_tuned_model")


class TestCheckpoints:
    async def test_the_newest_nine_are_compared(self, tenant: Tenant) -> None:
        job = await tenant.job()
        names = [await tenant.checkpoint(job["id"], step) for step in range(1, 12)]
        at = f"/v1/fine_tuning/jobs/{job['id']}/comparison"
        made = (await tenant.http.post(at, json={"compare": "checkpoints", "prompts": ["hi"]})).json()
        assert made["models"] == names[2:]
        assert made["n"] == 9

    async def test_one_checkpoint_is_too_few(self, tenant: Tenant) -> None:
        job = await tenant.job()
        await tenant.checkpoint(job["id"], 1)
        at = f"/v1/fine_tuning/jobs/{job['id']}/comparison"
        answer = await tenant.http.post(at, json={"compare": "checkpoints", "prompts": ["hi"]})
        assert refusal(answer)[:2] == (409, "too_few_checkpoints")
        assert "has 1 checkpoint." in message(answer)
