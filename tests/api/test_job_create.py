"""POST /v1/fine_tuning/jobs."""

from typing import Any

import pytest

from tests.api.tenants import Tenant, jsonl, message, refusal

JOBS = "/v1/fine_tuning/jobs"
HYPER = "method.supervised.hyperparameters"


def supervised(**hyperparameters: Any) -> dict[str, Any]:
    return {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}


class TestAccepted:
    async def test_the_answer_is_openais_object(self, tenant: Tenant) -> None:
        file = await tenant.upload()
        validation = await tenant.upload(jsonl(2))
        answer = await tenant.create(
            training_file=file["id"],
            validation_file=validation["id"],
            suffix="my-Suffix_1.0",
            seed=11,
            metadata={"team": "blue", "ü": "ß"},
            method=supervised(n_epochs=3, batch_size=4, learning_rate_multiplier=0.5),
        )
        job = answer.json()
        assert job.pop("id").startswith("ftjob-")
        assert isinstance(job.pop("created_at"), int)
        assert job.pop("created_by").startswith("key_")
        method = job.pop("method")
        assert method["type"] == "supervised"
        assert method["supervised"]["hyperparameters"]["n_epochs"] == 3
        assert job.pop("waiting")["reason"] == "no_worker"
        assert job.pop("estimate")["steps"] == 3 * 3  # 12 rows in batches of 4
        assert job == {
            "object": "fine_tuning.job",
            "status": "queued",
            "model": "starter",
            "fine_tuned_model": None,
            "organization_id": tenant.project.id,
            "training_file": file["id"],
            "validation_file": validation["id"],
            "result_files": [],
            "trained_tokens": None,
            "hyperparameters": {"n_epochs": 3, "batch_size": 4, "learning_rate_multiplier": 0.5},
            "seed": 11,
            "user_provided_suffix": "my-Suffix_1.0",
            "metadata": {"team": "blue", "ü": "ß"},
            "integrations": [],
            "finished_at": None,
            "estimated_finish": None,
            "progress": None,
            "stored_bytes": None,
            "measured": None,
            "error": None,
            "pause_requested_at": None,
            "started_from": None,
            "sandbox": None,
            "priority": "normal",
            "resources": None,
            "limits": None,
        }

    async def test_the_least_that_a_client_can_say_is_enough(self, tenant: Tenant) -> None:
        job = await tenant.job()
        assert job["method"]["type"] == "supervised"
        assert all(isinstance(value, int | float) for value in job["hyperparameters"].values())
        assert 0 <= job["seed"] < 2**31
        assert job["metadata"] is None

    async def test_nulls_mean_left_out(self, tenant: Tenant) -> None:
        names = ("validation_file", "method", "hyperparameters", "suffix", "seed", "metadata", "integrations")
        assert (await tenant.job(**dict.fromkeys(names)))["status"] == "queued"

    @pytest.mark.parametrize(
        "body",
        [
            {"hyperparameters": {"n_epochs": None, "batch_size": None}},
            {"method": {"type": "supervised", "supervised": None}},
            {"method": {"type": "supervised", "supervised": {"hyperparameters": None}}},
            {"method": supervised(n_epochs=None, lora=None, eval_interval=None, early_stopping=None)},
            {"method": supervised(lora={"rank": None, "alpha": None, "target_modules": None})},
            {"method": {"type": "supervised", "dpo": None, "supervised": {}}},
        ],
    )
    async def test_nulls_mean_left_out_inside_objects_too(self, tenant: Tenant, body: dict[str, Any]) -> None:
        file = (await tenant.upload())["id"]
        given = await tenant.job(training_file=file, **body)
        assert given["method"] == (await tenant.job(training_file=file))["method"]

    async def test_nulls_of_early_stopping_are_its_defaults(self, tenant: Tenant) -> None:
        files = {
            name: (await tenant.upload(jsonl(n)))["id"] for name, n in (("training_file", 12), ("validation_file", 11))
        }
        given = [
            await tenant.job(**files, method=supervised(early_stopping=stopping))
            for stopping in ({"patience": None, "min_delta": None}, True)
        ]
        assert given[0]["method"] == given[1]["method"]

    async def test_null_is_no_value_of_what_must_be_there(self, tenant: Tenant) -> None:
        answer = await tenant.create(method={"type": None, "supervised": {}})
        assert answer.status_code == 400

    async def test_openais_older_place_for_hyperparameters_still_counts(self, tenant: Tenant) -> None:
        job = await tenant.job(hyperparameters={"n_epochs": 2, "batch_size": "auto"})
        assert job["hyperparameters"]["n_epochs"] == 2
        assert job["method"]["supervised"]["hyperparameters"]["n_epochs"] == 2

    async def test_a_method_without_hyperparameters_has_the_defaults(self, tenant: Tenant) -> None:
        file = (await tenant.upload())["id"]
        jobs = [
            await tenant.job(training_file=file, method=method)
            for method in ({"type": "supervised"}, {"type": "supervised", "supervised": {}}, supervised())
        ]
        assert jobs[0]["method"] == jobs[1]["method"] == jobs[2]["method"]

    @pytest.mark.parametrize("seed", [0, 2**31 - 1])
    async def test_the_outermost_seeds(self, tenant: Tenant, seed: int) -> None:
        assert (await tenant.job(seed=seed))["seed"] == seed

    async def test_as_much_metadata_as_openai_takes(self, tenant: Tenant) -> None:
        labels = {f"{n:064}": "v" * 512 for n in range(16)}
        assert (await tenant.job(metadata=labels))["metadata"] == labels

    async def test_a_second_high_priority_job_is_more_than_a_project_may_have_by_default(self, tenant: Tenant) -> None:
        first = await tenant.job(priority="high", resources={"gpus": 1, "labels": ["eu"]})
        assert (first["priority"], first["resources"]) == ("high", {"gpus": 1, "labels": ["eu"]})
        refused = await tenant.create(priority="high")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "quota_exceeded")
        assert "create the job with the priority 'normal'" in refused.json()["error"]["message"]
        assert (await tenant.create(priority="normal")).status_code == 200

    async def test_its_first_event_says_that_it_was_created(self, tenant: Tenant) -> None:
        job = await tenant.job()
        (event,) = (await tenant.http.get(f"{JOBS}/{job['id']}/events")).json()["data"]
        assert event["message"] == f"Created fine-tuning job: {job['id']}"


class TestRefused:
    """Each with OpenAI's code and the parameter that is to blame; nothing is created."""

    @pytest.mark.parametrize(
        ("body", "status", "code", "param", "words"),
        [
            ({"model": "gpt-5"}, 404, "model_not_found", "model", "Choose one of: starter"),
            ({"model": "ft:starter:x::y"}, 404, "model_not_found", "model", "ft:starter:x::y"),
            ({"model": None}, 400, "invalid_value", "model", "Use a string."),
            ({"training_file": "file-none"}, 400, "file_not_found", "training_file", "file-none"),
            ({"validation_file": "file-none"}, 400, "file_not_found", "validation_file", "file-none"),
            ({"training_file": 5}, 400, "invalid_value", "training_file", ": 5. Use"),
            ({"modle": "starter"}, 400, "unknown_parameter", "modle", "'modle'"),
            ({"priority": "urgent"}, 400, "invalid_value", "priority", "low"),
            ({"resources": {"gpus": 0}}, 400, "invalid_value", "resources.gpus", "0"),
            ({"limits": {"hours": 0}}, 400, "invalid_value", "limits.hours", "0"),
            ({"resources": {"cpus": 4}}, 400, "unknown_parameter", "resources.cpus", "cpus"),
            ({"method": "dpo"}, 400, "invalid_value", "method", "'dpo'"),
            ({"method": {}}, 400, "missing_required_parameter", "method.type", "method.type"),
            ({"method": {"type": "sft"}}, 400, "invalid_value", "method.type", "Choose one of: supervised"),
            (
                {"method": {"type": "supervised", "dpo": {}}},
                400,
                "unknown_parameter",
                "method.dpo",
                "Check its spelling",
            ),
            ({"method": supervised(foo=1)}, 400, "unknown_parameter", f"{HYPER}.foo", f"{HYPER}.foo"),
            ({"method": supervised(lora={"rnk": 8})}, 400, "unknown_parameter", f"{HYPER}.lora.rnk", "rnk"),
            ({"method": supervised(lora={"rank": 7})}, 400, "invalid_value", f"{HYPER}.lora.rank", "8, 16, 32"),
            (
                {"method": supervised(n_epochs=0)},
                400,
                "invalid_value",
                f"{HYPER}.n_epochs",
                "'auto' or a number of 1 or more",
            ),
            (
                {"method": supervised(n_epochs=51)},
                400,
                "invalid_value",
                f"{HYPER}.n_epochs",
                "51. Use 'auto' or a number of 50 or less.",
            ),
            ({"method": supervised(n_epochs=1.5)}, 400, "invalid_value", f"{HYPER}.n_epochs", ": 1.5. Use"),
            ({"method": supervised(n_epochs="all")}, 400, "invalid_value", f"{HYPER}.n_epochs", ": 'all'. Use"),
            ({"method": supervised(batch_size=257)}, 400, "invalid_value", f"{HYPER}.batch_size", "256"),
            (
                {"method": supervised(learning_rate_multiplier=0)},
                400,
                "invalid_value",
                f"{HYPER}.learning_rate_multiplier",
                "a number above 0",
            ),
            ({"hyperparameters": {"n": 1}}, 400, "unknown_parameter", "hyperparameters.n", "hyperparameters.n"),
            ({"hyperparameters": {"n_epochs": 0}}, 400, "invalid_value", "hyperparameters.n_epochs", "'auto'"),
            (
                {"hyperparameters": {"n_epochs": 1}, "method": supervised()},
                400,
                "invalid_value",
                "hyperparameters",
                HYPER,
            ),
            ({"suffix": ""}, 400, "invalid_value", "suffix", ": ''. Use"),
            ({"suffix": "a:b"}, 400, "invalid_value", "suffix", "'a:b'"),
            ({"suffix": "a/b"}, 400, "invalid_value", "suffix", "'a/b'"),
            ({"suffix": "a\n"}, 400, "invalid_value", "suffix", "Use 1 to 64 letters"),
            ({"suffix": "s" * 65}, 400, "invalid_value", "suffix", "64"),
            ({"seed": -1}, 400, "invalid_value", "seed", ": -1. Use"),
            ({"seed": 2**31}, 400, "invalid_value", "seed", "2147483648"),
            ({"seed": 1.5}, 400, "invalid_value", "seed", "1.5"),
            ({"metadata": {str(n): "v" for n in range(17)}}, 400, "invalid_value", "metadata", "16"),
            ({"metadata": {"k" * 65: "v"}}, 400, "invalid_value", f"metadata.{'k' * 65}", "64"),
            ({"metadata": {"": "v"}}, 400, "invalid_value", "metadata.", "at least 1"),
            ({"metadata": {"k": "v" * 513}}, 400, "invalid_value", "metadata.k", "512"),
            ({"metadata": {"k": 5}}, 400, "invalid_value", "metadata.k", ": 5. Use"),
            (
                {"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]},
                400,
                "integration_not_enabled",
                "integrations[0].type",
                "'wandb'",
            ),
            (
                {"integrations": [{"type": "comet"}]},
                400,
                "integration_not_supported",
                "integrations[0].type",
                "'comet'",
            ),
            ({"integrations": [{}]}, 400, "integration_not_supported", "integrations[0].type", "None"),
        ],
    )
    async def test_the_error_names_what_is_wrong(
        self, tenant: Tenant, body: dict[str, Any], status: int, code: str, param: str, words: str
    ) -> None:
        answer = await tenant.create(**body)
        assert refusal(answer) == (status, code, param)
        assert words in message(answer)
        assert (await tenant.http.get(JOBS)).json()["data"] == []

    @pytest.mark.parametrize("name", ["model", "training_file"])
    async def test_what_is_missing_is_named(self, tenant: Tenant, name: str) -> None:
        body = {"model": "starter", "training_file": "file-x"}
        del body[name]
        answer = await tenant.http.post(JOBS, json=body)
        assert refusal(answer) == (400, "missing_required_parameter", name)

    async def test_fewer_than_ten_examples_are_too_few(self, tenant: Tenant) -> None:
        file = await tenant.upload(jsonl(9))
        answer = await tenant.create(training_file=file["id"])
        assert refusal(answer) == (400, "invalid_n_examples", "training_file")
        assert message(answer) == "Training file has 9 example(s), but must have at least 10 examples."
        assert (await tenant.create(training_file=(await tenant.upload(jsonl(10)))["id"])).status_code == 200

    async def test_a_deleted_file_is_not_found(self, tenant: Tenant) -> None:
        file = await tenant.upload()
        await tenant.http.delete(f"/v1/files/{file['id']}")
        assert refusal(await tenant.create(training_file=file["id"])) == (400, "file_not_found", "training_file")
