"""`fettle train` against a real API: what it sends, and what it says. Nothing trains here."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.api.tenants import jsonl
from tests.fettle.cli.conftest import Server, Shell


@pytest.fixture
def rows(tmp_path: Path) -> str:
    (tmp_path / "sums.jsonl").write_bytes(jsonl(12))
    return "sums.jsonl"


@pytest.fixture
def prompts(tmp_path: Path) -> str:
    (tmp_path / "prompts.jsonl").write_text(
        "".join(json.dumps({"prompt": f"{n} + 1", "answer": n + 1}) + "\n" for n in range(12))
    )
    return "prompts.jsonl"


def settings_of(job: dict[str, Any]) -> dict[str, Any]:
    kind = job["method"]["type"]
    return dict(job["method"][kind]["hyperparameters"])


def test_a_file_becomes_a_job_and_the_next_command_is_shown(asking: Shell, rows: str) -> None:
    said = asking.ok("train", rows, "--base", "starter").splitlines()
    assert said[0].startswith("file-") and said[0].endswith("sums.jsonl")
    assert said[1] == "✓ 12 rows, jsonl, prompt_completion"
    job_id, status = said[2].split()
    assert status == "queued"
    assert said[3] == f"fettle jobs watch {job_id}"


def test_every_flag_reaches_the_job(asking: Shell, rows: str) -> None:
    job = asking.json(
        *("train", rows, "--base", "starter", "--valid", rows, "--suffix", "mine", "--seed", "5", "--epochs", "3"),
        *("--batch-size", "4", "--learning-rate", "0.001", "--max-seq-length", "64", "--rank", "8"),
        *("--set", "lora.alpha=32", "--set", "packing=true", "--metadata", "team=blue"),
        *("--priority", "low", "--gpus", "2", "--gpu-memory", "40", "--on", "a100", "--on", "eu"),
        *("--max-hours", "2", "--max-gpu-hours", "3.5"),
    )
    assert job["limits"] == {"hours": 2, "gpu_hours": 3.5}
    assert job["priority"] == "low"
    assert job["resources"] == {"gpus": 2, "gpu_memory_gib": 40, "labels": ["a100", "eu"]}
    said = asking.ok("jobs", "show", job["id"])
    assert "2 GPUs, 40 GiB of GPU memory, the label a100, the label eu" in said
    chosen = settings_of(job)
    assert (job["user_provided_suffix"], job["seed"], job["metadata"]) == ("mine", 5, {"team": "blue"})
    assert job["validation_file"] not in (None, job["training_file"])
    wanted = {"n_epochs": 3, "batch_size": 4, "learning_rate": 0.001, "max_seq_length": 64, "packing": True}
    assert {name: chosen[name] for name in wanted} == wanted
    assert (chosen["lora"]["rank"], chosen["lora"]["alpha"]) == (8, 32)


def test_a_job_file_is_the_body_and_flags_change_it(asking: Shell, rows: str) -> None:
    method = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "lora": {"rank": 32}}}}
    body = {"model": "starter", "training_file": rows, "method": method, "suffix": "file"}
    Path("job.json").write_text(json.dumps(body))
    for given in (["--job", "job.json"], ["job.json"]):
        job = asking.json("train", *given, "--epochs", "4", "--set", "lora.alpha=16")
        chosen = settings_of(job)
        assert (chosen["n_epochs"], chosen["lora"]["rank"], chosen["lora"]["alpha"]) == (4, 32, 16)
        assert job["user_provided_suffix"] == "file"
    assert json.loads(Path("job.json").read_text()) == body


def test_openais_older_place_for_hyperparameters_stays_and_can_be_changed(asking: Shell, rows: str) -> None:
    body = {"model": "starter", "training_file": rows, "hyperparameters": {"n_epochs": 2, "batch_size": 4}}
    Path("job.json").write_text(json.dumps(body))
    assert settings_of(asking.json("train", "--job", "job.json"))["n_epochs"] == 2
    changed = settings_of(asking.json("train", "--job", "job.json", "--epochs", "3"))
    assert (changed["n_epochs"], changed["batch_size"]) == (3, 4)


def test_rewards_make_a_reinforcement_job(asking: Shell, prompts: str) -> None:
    Path("short.py").write_text("def reward(prompt, completion, example):\n    return -len(completion) / 100\n")
    job = asking.json(
        *("train", prompts, "--base", "starter", "--set", "max_completion_tokens=40"),
        *("--reward", "answer_correct", "--reward", "think_format=0.2", "--reward", "short.py=0.5"),
    )
    rewards = job["method"]["reinforcement"]["reward_functions"]
    assert job["method"]["type"] == "reinforcement"
    assert rewards[:2] == ["answer_correct", {"name": "think_format", "weight": 0.2}]
    assert (rewards[2]["name"], rewards[2]["weight"]) == ("short", 0.5)
    assert settings_of(job)["max_completion_tokens"] == 40


def test_a_file_on_the_server_is_not_uploaded_again(asking: Shell, rows: str) -> None:
    file_id = asking.json("files", "upload", rows)["id"]
    assert asking.json("train", file_id, "--base", "starter")["training_file"] == file_id


def test_a_bad_file_is_told_in_full_and_leaves_neither_job_nor_file(asking: Shell) -> None:
    before = asking.json("files", "list")["data"]
    Path("bad.jsonl").write_text('{"messages": 5}\n' * 3)
    code, out, err = asking.run("train", "bad.jsonl", "--base", "starter")
    assert (code, err) == (1, "")
    assert out.count("'messages' is a number, not a list.") == 3
    assert asking.json("files", "list")["data"] == before


def test_a_base_that_does_not_exist_is_named_before_a_file_is_sent(asking: Shell, rows: str) -> None:
    before = asking.json("files", "list")["data"]
    code, out, err = asking.run("train", rows, "--base", "gpt-9")
    assert (code, out) == (1, "") and "'gpt-9'" in err
    assert asking.json("files", "list")["data"] == before


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["sums.jsonl"], "The job has no model. Name one: --base starter"),
        (["--base", "starter"], "The job has no training_file"),
        (["sums.jsonl", "--base", "starter", "--method", "magic"], "'magic' does not exist"),
        (["sums.jsonl", "--base", "starter", "--set", "n_epoch=1"], "n_epoch"),
        (["sums.jsonl", "--base", "starter", "--method", "dpo", "--reward", "length"], "not 'dpo'"),
        (["none.jsonl", "--base", "starter"], "none.jsonl cannot be read"),
        (["sums.jsonl", "--base", "starter", "--job", "none.json"], "none.json cannot be read"),
    ],
    ids=lambda each: each if isinstance(each, str) else " ".join(each)[:40],
)
def test_what_is_missing_or_wrong_is_named(asking: Shell, rows: str, words: list[str], named: str) -> None:
    code, _, err = asking.run("train", *words)
    assert code == 1
    assert named in err


def test_rows_without_answers_are_refused_for_a_supervised_job_and_the_file_stays(asking: Shell, prompts: str) -> None:
    code, out, err = asking.run("train", prompts, "--base", "starter")
    assert code == 1
    assert "12 rows, jsonl, prompts" in out
    assert "Choose the method 'reinforcement'" in err


@pytest.mark.parametrize("words", [("--set", "epochs"), ("--metadata", "blue"), ("--reward", "length=much")])
def test_what_is_not_name_and_value_is_wrong_usage(asking: Shell, rows: str, words: tuple[str, str]) -> None:
    code, _, err = asking.run("train", rows, "--base", "starter", *words)
    assert code == 2
    assert repr(words[1]) in err


def test_watching_ends_with_the_job_and_tells_scripts_how(asking: Shell, server: Server, rows: str) -> None:
    job_id = asking.json("train", rows, "--base", "starter")["id"]
    asking.ok("jobs", "cancel", job_id)
    code, out, _ = asking.run("jobs", "watch", job_id)
    assert (code, out.splitlines()[-1]) == (4, "cancelled")
