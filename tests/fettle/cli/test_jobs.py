"""`fettle jobs` and `models` against a real API; what a worker would do, the tests do."""

import json
import re
from pathlib import Path

import pytest

from fettle.db import Database
from fettle.jobs import lifecycle
from fettle.rollouts import rows as stored
from fettle.rollouts import summaries
from fettle.storage import Storage, artifacts
from models import Job, JobStatus, RolloutChunk, TunedModel
from tests.api.tenants import ADAPTER, jsonl
from tests.fettle.cli.conftest import Server, Shell

ROLLOUT = {"group": 0, "messages": [{"role": "user", "content": "1 + 1 ="}], "item": {}, "tokens": 3}


@pytest.fixture
def job_id(asking: Shell) -> str:
    Path("sums.jsonl").write_bytes(jsonl(12))
    return str(asking.json("train", "sums.jsonl", "--base", "starter", "--suffix", "mine")["id"])


def publish(server: Server, job_id: str, folder: Path) -> str:
    """What a worker leaves at the end; the model's name."""

    async def work(db: Database, storage: Storage) -> str:
        folder.mkdir()
        for name, content in ADAPTER.items():
            (folder / name).write_bytes(content)
        await artifacts.upload(storage, folder, f"jobs/{job_id}/1/adapter")
        async with db.transaction() as session:
            job = await session.get_one(Job, job_id)
            name = lifecycle.tuned_model_name(job, "default")
            row = TunedModel(name=name, job_id=job_id, base_model="starter", prefix=f"jobs/{job_id}/1/adapter")
            row.project_id = job.project_id
            session.add(row)
            job.status, job.fine_tuned_model, job.finished_at = JobStatus.SUCCEEDED, name, job.created_at + 75
            return name

    return server.change(work)


def test_a_queued_job_shows_its_place_and_why_it_waits(asking: Shell, job_id: str) -> None:
    said = asking.ok("jobs", "show", job_id)
    assert "No worker is running. Start one with `fettle worker`." in said
    assert re.search(r"^place +(next|\d+ in the queue)$", said, re.MULTILINE)
    assert "lora.rank 16" in said
    assert f"fettle jobs watch {job_id}" in said
    assert asking.json("jobs", "show", job_id)["id"] == job_id


def test_a_job_that_succeeded_is_listed_shown_and_downloaded(
    asking: Shell, server: Server, job_id: str, tmp_path: Path
) -> None:
    name = publish(server, job_id, tmp_path / "made")
    (line,) = [line for line in asking.ok("jobs", "list").splitlines() if job_id in line]
    assert line.split()[1:4] == ["succeeded", "supervised", "starter"]
    assert line.endswith(name)
    said = asking.ok("jobs", "show", job_id)
    assert "(75 s)" in said
    assert said.splitlines()[-1] == f"fettle chat {name}"
    asking.ok("jobs", "download", job_id, "--to", "mine")
    assert {file.name: file.read_bytes() for file in Path("mine").iterdir()} == ADAPTER
    assert "not an empty folder" in asking.refused("jobs", "download", job_id, "--to", "mine")
    assert [file for file in Path().iterdir() if file.name.startswith(".fettle-")] == []
    (model,) = [line for line in asking.ok("models", "list").splitlines() if name in line]
    assert model.split()[1] == "tuned"
    assert asking.ok("models", "remove", name) == f"{name} removed\n"
    assert name not in asking.ok("models", "list")


def test_a_file_that_arrives_damaged_is_refused_and_nothing_is_left(
    asking: Shell, server: Server, job_id: str, tmp_path: Path
) -> None:
    publish(server, job_id, tmp_path / "made")

    async def damage(db: Database, storage: Storage) -> None:
        await artifacts.put_bytes(storage, f"jobs/{job_id}/1/adapter/adapter_config.json", b'{"r": 17}')

    server.change(damage)
    assert "adapter_config.json was damaged" in asking.refused("jobs", "download", job_id, "--to", "mine")
    assert not Path("mine").exists()


def test_a_job_without_an_adapter_says_so(asking: Shell, job_id: str) -> None:
    assert "is queued" in asking.refused("jobs", "download", job_id)


def test_rollouts_are_shown_with_their_scores_and_written_to_a_file(asking: Shell, server: Server, job_id: str) -> None:
    async def record(db: Database, storage: Storage) -> None:
        rows = [
            stored.row(1, index, {**ROLLOUT, "completion": text, "stop_reason": "stop"}, score, 1)
            for index, (text, score) in enumerate(
                [("2", {"reward": 1.0, "scores": {"right": 1.0}}), ("3", {"reward": 0.0, "scores": {"right": 0.0}})]
            )
        ]
        await artifacts.put_bytes(storage, "chunk", stored.to_parquet(rows))
        summary = summaries.of_step(rows, [])
        async with db.transaction() as session:
            session.add(RolloutChunk(id="r", job_id=job_id, step=1, rows=2, summary=summary, storage_key="chunk"))

    server.change(record)
    said = asking.ok("jobs", "rollouts", job_id, "--sort=-reward", "--limit", "1")
    assert said.splitlines()[:3] == ["step 1  reward 1.00  right 1.00", "1 + 1 =", "2"]
    assert len(asking.json("jobs", "rollouts", job_id)["data"]) == 2
    asking.ok("jobs", "rollouts", job_id, "--to", "all.jsonl")
    assert [json.loads(line)["completion"] for line in Path("all.jsonl").read_text().splitlines()] == ["2", "3"]
    asking.ok("jobs", "rollouts", job_id, "--to", "pairs.jsonl", "--format", "dpo")
    assert len(Path("pairs.jsonl").read_text().splitlines()) == 1


def test_unknown_ids_are_named(asking: Shell) -> None:
    for words in (("jobs", "show"), ("jobs", "watch"), ("jobs", "download"), ("jobs", "rollouts"), ("files", "show")):
        said = asking.refused(*words, "ftjob-none")
        assert "'ftjob-none'" in said and " list` lists your " in said
    assert "'ft:none:a:b'" in asking.refused("models", "show", "ft:none:a:b")


def test_a_report_of_an_ended_job_is_saved_as_one_file(
    asking: Shell, server: Server, job_id: str, tmp_path: Path
) -> None:
    assert "A job has a report when it has ended." in asking.refused("jobs", "report", job_id)
    assert not Path(f"{job_id}.html").exists()
    publish(server, job_id, tmp_path / "made")
    assert asking.ok("jobs", "report", job_id).strip() == f"{job_id}.html"
    assert Path(f"{job_id}.html").read_text().startswith("<!doctype html>")
    asking.ok("jobs", "report", job_id, "--format", "markdown", "--to", "job.md")
    assert Path("job.md").read_text().startswith("# Fine\\-tuning report\n")
    assert "'html' or 'markdown'" in asking.refused("jobs", "report", job_id, "--format", "pdf")
