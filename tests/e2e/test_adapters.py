"""An adapter that plain PEFT trained: uploaded by the command line, then served, trained on, downloaded and deleted."""

import json
import subprocess
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from fettle.datasets.formats.render import Renderer
from fettle.registry.catalog import STARTER
from tests.e2e import peft_adapter
from tests.e2e.conftest import Server, fettle
from tests.e2e.peft_adapter import QUESTION
from tests.worker.exports import hub_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TOKENS = 8


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return peft_adapter.train(tmp_path_factory.mktemp("peft"))


def test_it_answers_as_in_peft_and_a_job_goes_on_from_it(server: Server, trained: Path, tmp_path: Path) -> None:
    sent = fettle(server, "models", "upload", str(trained), "--base", "starter", "--suffix", "zoe", "--json")
    assert (sent.returncode, sent.stderr) == (0, ""), sent.stderr
    made = json.loads(sent.stdout)
    name, known = made["id"], made["adapter"]
    assert name.startswith("ft:starter:default:zoe:")
    assert (known["rank"], known["notes"], known["can_continue"]) == (4, [], True)
    assert made["checks"][0]["ok"]

    choice = server.client.chat.completions.create(
        model=name,
        messages=QUESTION,  # type: ignore[arg-type]
        temperature=0,
        logprobs=True,
        max_completion_tokens=TOKENS,
    ).choices[0]
    assert choice.logprobs and choice.logprobs.content
    network = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(STARTER, dtype=torch.float32), trained)
    prompt = Renderer(STARTER).prompt(QUESTION)
    with torch.inference_mode():
        output = network.eval().generate(
            input_ids=torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            do_sample=False,
            max_new_tokens=TOKENS,
            output_logits=True,
            return_dict_in_generate=True,
        )
    theirs = [float(logits[0].float().log_softmax(-1).max()) for logits in output.logits]
    ours = [token.logprob for token in choice.logprobs.content]
    assert ours == pytest.approx(theirs[: len(ours)], abs=1e-4)
    assert len(ours) >= TOKENS - 1  # the end of the turn is not listed
    bare = server.client.chat.completions.create(model="starter", messages=QUESTION, temperature=0)  # type: ignore[arg-type]
    assert choice.message.content != bare.choices[0].message.content

    job = server.client.fine_tuning.jobs.create(
        model=name,
        training_file=server.upload(16),
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1, "batch_size": 8}}},
    )
    ended = server.wait_for_end(job.id)
    assert ended.status == "succeeded", ended.error
    lora = ended.to_dict()["method"]["supervised"]["hyperparameters"]["lora"]  # type: ignore[index]
    assert lora == {
        "rank": 4,
        "alpha": 12,
        "dropout": 0.0,
        "use_rslora": False,
        "target_modules": ["down_proj", "q_proj"],
    }
    comparison = server.http.post(f"/v1/fine_tuning/jobs/{job.id}/comparison", json={})
    assert comparison.status_code in (200, 400), comparison.text

    back = fettle(server, "models", "download", name, "--to", str(tmp_path / "back"))
    assert back.returncode == 0, back.stderr
    for each in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "back" / each).read_bytes() == (trained / each).read_bytes()
    assert {path.name for path in (tmp_path / "back").iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    assert fettle(server, "models", "remove", name).returncode == 0
    gone = server.http.post("/v1/chat/completions", json={"model": name, "messages": QUESTION})
    assert gone.status_code == 404


def test_it_is_pulled_from_the_hub(server: Server, trained: Path, tmp_path: Path) -> None:
    with hub_server.running() as hub:
        hub.files["ann/zoe"] = {path.name: path.read_bytes() for path in trained.iterdir()}
        hub.files["ann/whole-model"] = {"config.json": b"{}", "model.safetensors": b""}
        hub.files["ann/pickled"] = {"adapter_config.json": b"{}", "adapter_model.bin": b""}
        away = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}

        def pull(*words: str) -> subprocess.CompletedProcess[str]:
            return fettle(server, "models", "pull", *words, "--base", "starter", **away)

        done = pull("ann/zoe")
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert f"ann/zoe at {hub_server.COMMIT}" in done.stdout
        (name,) = [line for line in done.stdout.splitlines() if line.startswith("ft:starter:default::")]
        assert "training_args.bin" not in " ".join(hub.given)
        server.client.models.delete(name)
        assert "is not a LoRA adapter" in pull("ann/whole-model").stderr
        assert "is a pickle" in pull("ann/pickled").stderr
        missing = pull("ann/nothing")
        assert missing.returncode == 3
        assert "The hub did not return 'ann/nothing' (status 404)" in missing.stderr
        assert "Write OWNER/NAME" in pull("zoe").stderr
        hub.files["ann/private"], hub.reader = hub.files["ann/zoe"], "hf_reader"
        assert "needs FETTLE_HF_TOKEN" in pull("ann/private").stderr
