"""Real runs that learn nothing say so, and what storage gives back of a real run is measured by a real process."""

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from fettle.jobs import proof_checks
from tests.bases import trimming
from tests.worker.training.children import FORKSERVER, SILENCE, Child, Line, comparisons, of, rows, work_folder
from tests.worker.training.rl import rewarded
from worker.training.__main__ import verify

pytestmark = pytest.mark.slow

WEIGHTS = "adapter_model.safetensors"


def measured(folder: Path, probe: dict[str, Any]) -> Line:
    """What a fresh process makes of `folder/copy`."""
    names = ("rows", "scores", "quantization")
    asked = {"folder": "copy", **{name: probe[name] for name in names}}
    (folder / "verify.json").write_text(json.dumps({"adapters": [asked]}))
    ours, theirs = socket.socketpair()
    ours.settimeout(SILENCE)
    process = FORKSERVER.Process(target=verify, args=(str(folder), theirs), daemon=True)
    process.start()
    theirs.close()
    with ours, ours.makefile("rb") as file:
        line = json.loads(file.readline())
    process.join(SILENCE)
    return dict(line)


@pytest.mark.parametrize("method", ["supervised", "reward_model"])
class TestStoredAdapter:
    def test_loaded_anew_it_gives_the_same_values_and_a_changed_copy_does_not(
        self, method: str, tmp_path: Path
    ) -> None:
        train = rows(16) if method == "supervised" else comparisons(16)
        options = {} if method == "supervised" else {"center_rewards_coefficient": 0.01}
        child = Child(work_folder(tmp_path / "work", train, method=method, **options))
        done = child.rest()[-1]
        assert done["type"] == "done", child.log
        found = done["proof"]
        assert all(each["status"] == "ok" for each in proof_checks.of_training(found["evidence"], 16))
        copy = child.folder / "copy"
        shutil.copytree(child.folder / done["path"], copy)
        line = measured(child.folder, found["probe"])
        assert line["type"] == "verified", child.log
        same = proof_checks.of_storage(found["probe"], line["results"][0])
        assert [each["status"] for each in same] == ["ok", "ok"]
        weights = load_file(copy / WEIGHTS)
        weights = {name: torch.zeros_like(value) if "lora_B" in name else value for name, value in weights.items()}
        save_file(weights, copy / WEIGHTS, metadata={"format": "pt"})
        (changed,) = measured(child.folder, found["probe"])["results"]
        assert proof_checks.of_storage(found["probe"], changed)[0]["status"] == "failed"


class TestNothingLearned:
    def test_pairs_that_the_template_makes_equal_fail(self, tmp_path: Path) -> None:
        alike = [{"prompt": f"q{n}", "chosen": f"answer {n}", "rejected": f"answer {n} "} for n in range(12)]
        child = Child(self.dpo(tmp_path, alike))
        (error,) = of("error", child.rest())
        assert (error["code"], error["param"]) == ("nothing_learned", "training_file")
        assert "lines 1, 2, 3" in error["message"]
        assert "0.6931" in error["message"]

    def test_single_pairs_of_that_kind_are_left_out_by_line(self, tmp_path: Path) -> None:
        mixed: list[Any] = comparisons(8)
        mixed[4] = {"prompt": "q", "chosen": "answer", "rejected": " answer"}
        lines = Child(self.dpo(tmp_path, mixed)).rest()
        (warned,) = [line for line in of("event", lines) if line["level"] == "warn"]
        assert "1 pair with two responses that the chat template turns into the same tokens" in warned["message"]
        assert "(line 5)" in warned["message"]
        evidence = lines[-1]["proof"]["evidence"]
        assert (evidence["kept"], evidence["examples"]) == (7, 8)
        assert evidence["left_out"] == {"alike": {"rows": 1, "lines": [5]}}

    def test_a_loss_that_prefers_neither_response_has_no_gradient(self, tmp_path: Path) -> None:
        """With label smoothing 0.5 both responses weigh the same: ln 2, and a gradient of 0 at every step."""
        child = Child(self.dpo(tmp_path, comparisons(8), loss_type="aot_unpaired", label_smoothing=0.5))
        (error,) = of("error", child.rest())
        assert error["code"] == "nothing_learned"
        assert "train_loss 0.6931 at the first step, 0.6931 at the last" in error["message"]

    @pytest.mark.parametrize("kl_beta", [0.0, 0.04])
    def test_groups_that_are_all_of_one_reward_fail_also_where_a_kl_moves_something(
        self, kl_beta: float, tmp_path: Path
    ) -> None:
        child = Child(rewarded.folder(tmp_path / "work", n_epochs=1, kl_beta=kl_beta))
        lines = rewarded.serve(child, lambda batch: {"flat": [1.0] * len(batch)})
        (error,) = of("error", lines)
        assert (error["code"], error["param"]) == ("nothing_learned", "graders")
        assert "every group got one and the same reward in all 4 steps" in error["message"]

    def test_a_single_step_of_such_groups_may_be_bad_luck_and_is_a_warning(self, tmp_path: Path) -> None:
        child = Child(rewarded.folder(tmp_path / "work", n_epochs=1, batch_size=8))
        lines = rewarded.serve(child, lambda batch: {"flat": [0.0] * len(batch)})
        assert lines[-1]["type"] == "done"
        assert any(
            line["level"] == "warn" and "in the job's only step" in line["message"] for line in of("event", lines)
        )
        assert lines[-1]["proof"]["evidence"]["moved"] == 0

    def dpo(self, folder: Path, train: list[Any], **more: Any) -> Path:
        options = {"beta": 0.1, "loss_type": "sigmoid", "label_smoothing": 0.0, "batch_size": 4} | more
        return work_folder(folder / "work", train, base=trimming(folder / "base"), method="dpo", **options)


def test_validation_rows_that_are_trained_on_are_named(tmp_path: Path) -> None:
    train = rows(8)
    child = Child(work_folder(tmp_path / "work", train, [*rows(2, "held_out"), train[3]]))
    (warned,) = [line for line in of("event", child.rest()) if line["level"] == "warn"]
    assert warned["message"].startswith("1 of the 3 rows of validation_file are in training_file too (line 3).")
    assert warned["data"]["lines_known"] == [3]


def test_rows_that_are_too_long_are_left_out_by_line(tmp_path: Path) -> None:
    train = rows(24)
    train[10] = {"prompt": "word " * 600, "completion": "no"}
    lines = Child(work_folder(tmp_path / "work", train)).rest()
    (warned,) = [line for line in of("event", lines) if line["level"] == "warn"]
    assert "(line 11)" in warned["message"]
    rows_check, tokens, _ = proof_checks.of_training(lines[-1]["proof"]["evidence"], 24)
    assert (rows_check["status"], tokens["status"]) == ("ok", "ok")
    assert (
        rows_check["message"] == "The job trained on 23 of 24 rows; 1 left out (longer than max_seq_length): line 11."
    )
