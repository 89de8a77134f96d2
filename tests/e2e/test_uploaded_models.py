"""What a tuned model can do, done with an adapter that was trained elsewhere and uploaded."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from examples import grpo
from examples.preferences import dataset
from fettle.datasets.formats.render import Renderer
from tests.e2e import peft_adapter
from tests.e2e.conftest import Server, fettle, wait_for
from tests.e2e.peft_adapter import QUESTION

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PROMPTS = [f"Tom has {number} apples and buys 3. How many apples does Tom have?" for number in range(2, 6)]


@pytest.fixture(scope="module")
def base() -> str:
    return "starter"


@pytest.fixture(scope="module")
def uploaded(server: Server, base: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An adapter that was trained elsewhere; its name here."""
    folder = peft_adapter.train(tmp_path_factory.mktemp("peft"), base)
    sent = fettle(server, "models", "upload", str(folder), "--base", base, "--suffix", "zoe", "--json")
    assert sent.returncode == 0, sent.stderr
    return str(json.loads(sent.stdout)["id"])


def file_of(server: Server, content: bytes) -> str:
    return server.client.files.create(file=("rows.jsonl", content), purpose="fine-tune").id


def said(server: Server, model: str) -> str:
    reply = server.client.chat.completions.create(
        model=model,
        messages=QUESTION,  # type: ignore[arg-type]
        temperature=0,
        max_completion_tokens=24,
    )
    return reply.choices[0].message.content or ""


def test_people_compare_it_with_its_base(server: Server, base: str, uploaded: str) -> None:
    body = {"name": "ours or theirs", "models": [base, uploaded], "prompts": PROMPTS, "n": 2, "mode": "pick"}
    body["sampling"] = {"temperature": 0, "max_completion_tokens": 24}
    at = f"/v1/comparisons/{server.http.post('/v1/comparisons', json=body).raise_for_status().json()['id']}"
    wait_for(lambda: server.http.get(at).json()["status"] != "generating", 240, "the responses")
    assert server.http.get(at).json()["progress"]["ready"] == len(PROMPTS)
    while (item := server.http.get(f"{at}/next").raise_for_status().json()["item"]) is not None:
        zoe = next(each for each in item["responses"] if "Zoe" in each["text"])
        server.http.post(f"{at}/votes", json={"item_id": item["id"], "pick": zoe["id"]}).raise_for_status()
    strengths = server.http.get(f"{at}/results").raise_for_status().json()["strengths"]["models"]
    assert [(each["model"], each["win_rate"]) for each in strengths] == [(uploaded, 1.0), (base, 0.0)]


def test_an_eval_asks_it(server: Server, base: str, uploaded: str) -> None:
    made = server.client.evals.create(
        name="zoe",
        data_source_config={
            "type": "custom",
            "item_schema": {"type": "object", "properties": {"question": {"type": "string"}}},
            "include_sample_schema": True,
        },
        testing_criteria=[
            {
                "type": "string_check",
                "name": "zoe",
                "operation": "ilike",
                "input": "{{sample.output_text}}",
                "reference": "zoe",
            }
        ],
    )

    def passed(model: str) -> int:
        source: Any = {
            "type": "completions",
            "model": model,
            "source": {"type": "file_content", "content": [{"item": {"question": prompt}} for prompt in PROMPTS]},
            "input_messages": {"type": "template", "template": [{"role": "user", "content": "{{item.question}}"}]},
            "sampling_params": {"temperature": 0, "max_completion_tokens": 24},
        }
        run = server.client.evals.runs.create(made.id, data_source=source)
        wait_for(
            lambda: server.client.evals.runs.retrieve(run.id, eval_id=made.id).status in ("completed", "failed"),
            240,
            "the run",
        )
        counts = server.client.evals.runs.retrieve(run.id, eval_id=made.id).result_counts
        assert (counts.total, counts.errored) == (len(PROMPTS), 0)
        return counts.passed

    assert (passed(base), passed(uploaded)) == (0, len(PROMPTS))


def test_it_is_exported_merged_and_as_gguf(server: Server, uploaded: str, tmp_path: Path) -> None:
    merged = tmp_path / "merged"
    done = fettle(server, "export", uploaded, "--to", str(merged), "--dtype", "fp32", seconds=300)
    assert done.returncode == 0, done.stderr
    network = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32)
    renderer = Renderer(merged)
    prompt = renderer.prompt(QUESTION)
    with torch.inference_mode():
        ids = network.generate(input_ids=torch.tensor([prompt]), do_sample=False, max_new_tokens=24)[0, len(prompt) :]
    assert renderer.decode(ids.tolist()) == said(server, uploaded)
    assert "was trained elsewhere and uploaded" in (merged / "README.md").read_text()

    gguf = tmp_path / "gguf"
    done = fettle(server, "export", uploaded, "--to", str(gguf), "--format", "gguf", seconds=300)
    assert done.returncode == 0, done.stderr
    assert {file.name for file in gguf.iterdir()} == {"model.gguf", "Modelfile", "README.md"}


def test_what_comes_before_a_job_takes_it(server: Server, base: str, uploaded: str) -> None:
    pairs = file_of(server, dataset("pair", "train", 32))
    shown = server.http.get(f"/v1/files/{pairs}/preview", params={"model": uploaded, "limit": 1})
    assert shown.status_code == 200, shown.text
    body = {"model": uploaded, "training_file": pairs, "method": {"type": "dpo"}}
    estimate = server.http.post("/v1/fine_tuning/estimate", json=body)
    assert estimate.status_code == 200, estimate.text
    advice = server.http.post("/v1/fine_tuning/advise", json={"file": pairs, "base": uploaded})
    assert advice.status_code == 200, advice.text
    tried = server.http.post(
        "/v1/fine_tuning/dry_runs",
        json={
            "model": uploaded,
            "training_file": file_of(server, b"".join(grpo.rows(12, "train", 1))),
            "method": {"type": "reinforcement", "reinforcement": {"reward_functions": grpo.REWARDS}},
            "prompts": 2,
        },
    )
    assert tried.status_code == 200, tried.text


def test_a_job_continues_from_it_with_another_method(server: Server, base: str, uploaded: str) -> None:
    created = server.client.fine_tuning.jobs.create(
        model=uploaded,
        training_file=file_of(server, dataset("pair", "train", 16)),
        validation_file=file_of(server, dataset("pair", "held_out", 10)),
        method={"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 1, "batch_size": 16}}},
        seed=1,
    )
    job = server.wait_for_end(created.id, 500)
    assert job.status == "succeeded", job.error
    at = f"/v1/fine_tuning/jobs/{job.id}"
    assert job.to_dict()["started_from"] == uploaded
    assert server.http.get(f"{at}/evaluation").raise_for_status().json()["tuned"]
    assert server.http.get(f"{at}/report").raise_for_status().text
    assert server.http.get(f"{at}/proof").raise_for_status().json()["status"] != "failed"
    compared = server.http.post(f"{at}/comparison", json={}).raise_for_status().json()
    assert compared["models"] == [base, job.fine_tuned_model]
    assert said(server, str(job.fine_tuned_model))
