"""The whole road with the unmodified SDK: upload → job → queue → training child → adapter → served."""

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from openai.types.fine_tuning import FineTuningJob
from safetensors import safe_open

from tests.e2e.conftest import Server

pytestmark = pytest.mark.slow

QUESTION = [{"role": "user", "content": "Tom has 12 apples. Tom buys 30 more. How many apples does Tom have?"}]


@pytest.fixture(scope="module")
def job(server: Server) -> Iterator[FineTuningJob]:
    created = server.create(
        rows=64, epochs=2, suffix="walk", validation_file=server.upload(12, "held_out"), metadata={"team": "e2e"}
    )
    yield server.wait_for_end(created.id)


class TestJob:
    def test_it_succeeds_and_says_what_it_did(self, server: Server, job: FineTuningJob) -> None:
        assert job.status == "succeeded", job.error
        assert job.fine_tuned_model is not None
        assert job.fine_tuned_model.startswith("ft:starter:default:walk:")
        assert job.trained_tokens and job.trained_tokens > 64 * 2 * 20
        assert job.hyperparameters.n_epochs == 2
        assert job.seed == 11
        assert server.messages(job.id)[-1] == "The job has successfully completed"

    def test_every_step_has_its_metrics(self, server: Server, job: FineTuningJob) -> None:
        columns = server.http.get(f"/v1/fine_tuning/jobs/{job.id}/metrics").json()["columns"]
        assert columns["step"] == list(range(1, 17))
        assert all(loss > 0 for loss in columns["train_loss"])
        assert columns["train_loss"][-1] < columns["train_loss"][0]
        assert [step for step, loss in zip(columns["step"], columns["valid_loss"], strict=True) if loss] == [8, 16]

    def test_the_result_file_is_a_csv_of_them(self, server: Server, job: FineTuningJob) -> None:
        text = server.client.files.content(job.result_files[0]).text
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [int(row["step"]) for row in rows] == list(range(1, 17))
        assert float(rows[-1]["valid_loss"]) > 0

    def test_the_event_stream_ends_with_the_job(self, server: Server, job: FineTuningJob) -> None:
        with server.http.stream("GET", f"/v1/fine_tuning/jobs/{job.id}/events?stream=true") as response:
            lines = [line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: ")]
        assert lines[-1] == "[DONE]"
        events = [json.loads(line) for line in lines[:-1]]
        assert events[0]["message"].startswith("Created fine-tuning job")
        assert events[-1]["message"] == "The job has successfully completed"
        assert len({event["id"] for event in events}) == len(events)

    def test_metadata_finds_it(self, server: Server, job: FineTuningJob) -> None:
        found = server.client.fine_tuning.jobs.list(metadata={"team": "e2e"})
        assert [item.id for item in found.data] == [job.id]

    def test_checkpoints_come_each_epoch(self, server: Server, job: FineTuningJob) -> None:
        checkpoints = server.client.fine_tuning.jobs.checkpoints.list(job.id).data
        assert [checkpoint.step_number for checkpoint in checkpoints] == [16, 8]
        assert checkpoints[0].metrics.valid_loss is not None

    def test_the_adapter_is_a_zip_that_peft_can_read(self, server: Server, job: FineTuningJob, tmp_path: Path) -> None:
        response = server.http.get(f"/v1/fine_tuning/jobs/{job.id}/adapter")
        archive = zipfile.ZipFile(io.BytesIO(response.content))
        assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= set(archive.namelist())
        assert not [name for name in archive.namelist() if name.endswith((".bin", ".pt", ".pkl"))]
        assert json.loads(archive.read("adapter_config.json"))["base_model_name_or_path"] == "starter"
        archive.extract("adapter_model.safetensors", tmp_path)
        with safe_open(tmp_path / "adapter_model.safetensors", "np") as weights:
            names = list(weights.keys())
            assert any(weights.get_tensor(name).any() for name in names if "lora_B" in name)


class TestChat:
    def test_base_tuned_and_checkpoint_all_answer(self, server: Server, job: FineTuningJob) -> None:
        assert job.fine_tuned_model is not None
        for model in ("starter", job.fine_tuned_model, f"{job.fine_tuned_model}:ckpt-step-8"):
            reply = server.client.chat.completions.create(model=model, messages=QUESTION, temperature=0, max_tokens=40)
            assert reply.model == model
            assert reply.choices[0].message.content
            assert reply.usage is not None and reply.usage.completion_tokens > 0

    def test_a_stream_adds_up_to_the_whole(self, server: Server, job: FineTuningJob) -> None:
        assert job.fine_tuned_model is not None
        asked = {"model": job.fine_tuned_model, "messages": QUESTION, "temperature": 1, "seed": 5, "max_tokens": 40}
        whole = server.client.chat.completions.create(**asked)
        pieces = [
            chunk.choices[0].delta.content or ""
            for chunk in server.client.chat.completions.create(stream=True, **asked)
        ]
        assert "".join(pieces) == whole.choices[0].message.content

    def test_n_answers_stop_words_and_seeds(self, server: Server) -> None:
        asked = {"model": "starter", "messages": QUESTION, "temperature": 1, "max_tokens": 40}
        many = server.client.chat.completions.create(n=3, seed=7, **asked)
        assert [choice.index for choice in many.choices] == [0, 1, 2]
        again = server.client.chat.completions.create(n=3, seed=7, **asked)
        assert [c.message.content for c in many.choices] == [c.message.content for c in again.choices]
        stopped = server.client.chat.completions.create(stop=">", seed=7, **asked)
        assert ">" not in (stopped.choices[0].message.content or "")
        assert stopped.choices[0].finish_reason == "stop"

    def test_an_unknown_model_is_not_the_base(self, server: Server) -> None:
        with pytest.raises(openai.NotFoundError) as caught:
            server.client.chat.completions.create(model="ft:starter:default::nothere", messages=QUESTION)
        assert caught.value.code == "model_not_found"


class TestModels:
    def test_a_deleted_model_is_gone_everywhere(self, server: Server) -> None:
        done = server.wait_for_end(server.create(rows=16, epochs=1).id)
        name = done.fine_tuned_model
        assert name is not None
        assert name in [model.id for model in server.client.models.list()]
        assert server.client.models.retrieve(name).id == name
        server.client.chat.completions.create(model=name, messages=QUESTION, max_tokens=4)
        assert server.client.models.delete(name).deleted
        with pytest.raises(openai.NotFoundError):
            server.client.models.retrieve(name)
        with pytest.raises(openai.NotFoundError):
            server.client.chat.completions.create(model=name, messages=QUESTION, max_tokens=4)
