"""Two real ranks on the CPU train one job: as one process would, and they live and die together."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from tests.worker.training.children import Child, Line, comparisons, of, rows, run_as_on_gpus, series, work_folder
from tests.worker.training.methods import test_rlhf
from tests.worker.training.rl import rewarded
from worker.training.__main__ import run
from worker.training.distributed import ranks, torchrun
from worker.training.process.channel import LOST_RANK

pytestmark = pytest.mark.slow

OF_A_BATCH = {"reward_min", "reward_max", "entropy", "mean_token_accuracy"}  # two ranks' batches are half as large
EPOCHS, STEPS_PER_EPOCH = 3, 3
LAST = EPOCHS * STEPS_PER_EPOCH


def folder(path: Path, *, resume: Path | None = None, batch_size: int = 8, dropout: float = 0.0) -> Path:
    return work_folder(
        path,
        rows(24),
        rows(8, "held_out"),
        resume=resume,
        n_epochs=EPOCHS,
        batch_size=batch_size,
        lora={"dropout": dropout},
    )


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Child, list[Line]]:
    child = Child(folder(tmp_path_factory.mktemp("pair") / "work"), ranks=2)
    return child, child.rest()


def rank_processes(child: Child) -> list[psutil.Process]:
    """The ranks, in their order; the agent's other helper is Python's resource tracker."""
    assert child.process.pid is not None
    found = psutil.Process(child.process.pid).children()
    return [process for process in found if "resource_tracker" not in " ".join(process.cmdline())]


class TestTogether:
    def test_each_step_equals_a_single_processs(self, pair: tuple[Child, list[Line]], tmp_path: Path) -> None:
        child, heard = pair
        assert heard[-1]["type"] == "done", child.log
        assert child.exit_code() == 0
        alone = Child(folder(tmp_path / "alone")).rest()
        expected, found = series(alone), series(heard)
        assert list(found) == list(range(1, LAST + 1))
        for step, metrics in expected.items():
            assert found[step].keys() == metrics.keys()
            for name, value in metrics.items():
                assert found[step][name] == pytest.approx(value, rel=1e-4), (step, name)
        assert heard[-1]["trained_tokens"] == alone[-1]["trained_tokens"]

    def test_only_the_first_speaks(self, pair: tuple[Child, list[Line]]) -> None:
        _, heard = pair
        data = [line["data"] | {"step": line["step"]} for line in of("metrics", heard)]
        steps = [each["step"] for each in data if "train_loss" in each and "valid_loss" not in each]
        assert steps == list(range(1, LAST + 1))
        assert [line["step"] for line in of("checkpoint", heard)] == [3, 6, 9]
        assert [line["message"] for line in of("event", heard) if line["message"].startswith("Device")] == [
            "Device: 2 × CPU, fp32, sdpa, gradient checkpointing off"
        ]

    def test_nothing_is_left_running(self, pair: tuple[Child, list[Line]]) -> None:
        child, _ = pair
        assert child.process.pid is not None
        group = [p.pid for p in psutil.process_iter() if os.getpgid(p.pid) == child.process.pid]
        assert group == []


def compared(path: Path, method: str, options: dict[str, object]) -> Path:
    """Batches of 4 pairs for two ranks, of 8 for one; the validation file makes an odd number of uneven batches."""
    values: dict[str, Any] = {"n_epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "warmup_ratio": 0.0} | options
    return work_folder(path, comparisons(24), comparisons(9, "held_out"), method=method, **values)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("dpo", {"beta": 0.1, "loss_type": "sigmoid", "label_smoothing": 0.0}),
        ("reward_model", {"center_rewards_coefficient": 0.01}),
    ],
)
def test_comparisons_equal_a_single_processs_validation_included(
    method: str, options: dict[str, object], tmp_path: Path
) -> None:
    child = Child(compared(tmp_path / "pair", method, options), ranks=2)
    heard = child.rest()
    assert heard[-1]["type"] == "done", child.log
    expected = series(Child(compared(tmp_path / "alone", method, options)).rest())
    found = series(heard)
    assert list(found) == list(expected) == [1, 2, 3]
    for step, metrics in expected.items():
        assert found[step].keys() == metrics.keys()
        for name, value in metrics.items():
            if name.partition("_")[2] not in OF_A_BATCH:
                assert found[step][name] == pytest.approx(value, rel=1e-4, abs=1e-6), (step, name)
    assert any(name.startswith("valid_") for name in found[3])


TIMES = {"generation_seconds", "scoring_seconds"}


def learned(path: Path, method: str) -> Path:
    """Two steps of two prompts, two completions each: a group a rank, or one rank's minibatch of both."""
    if method == "reinforcement":
        return rewarded.folder(path, count=4, valid=3, n_epochs=1, group_size=2, max_completion_tokens=8, kl_beta=0.05)
    given = {"batch_size": 2, "group_size": 2, "n_epochs": 1, "max_completion_tokens": 8, "learning_rate": 1e-3}
    given |= {"minibatch_size": 3} if method == "ppo" else {}
    made = test_rlhf.folder(path, method, train=comparisons(4), policy=given)
    spec = json.loads((made / "spec.json").read_text())
    spec["method"]["rlhf"]["reward_model_hyperparameters"] |= {
        "n_epochs": 1, "batch_size": 4, "lora": test_rlhf.LORA | {"dropout": 0.0},
    }  # fmt: skip
    (made / "spec.json").write_text(json.dumps(spec))
    return made


def said(folder: Path, method: str, number: int) -> tuple[Child, list[Line]]:
    child = Child(folder, ranks=number)
    lines = rewarded.serve(child) if method == "reinforcement" else child.rest()
    assert lines[-1]["type"] == "done", child.log
    return child, lines


def written(lines: list[Line]) -> list[list[str]]:
    """The completions of each batch. In validation, every rank takes every n-th prompt of the file."""
    batches = [line for line in lines if line["type"] in ("score", "rollouts") and "rollouts" in line]
    texts = [([each["completion"] for each in line["rollouts"]], line.get("purpose")) for line in batches]
    return [sorted(batch) if purpose == "validation" else batch for batch, purpose in texts]


@pytest.mark.parametrize("method", ["reinforcement", "ppo", "rloo"])
def test_what_a_policy_draws_earns_and_learns_equals_a_single_processs(method: str, tmp_path: Path) -> None:
    """Every completion, every metric, validation included, and every weight of the adapter."""
    pair, heard = said(learned(tmp_path / "pair", method), method, 2)
    one, expected = said(learned(tmp_path / "alone", method), method, 1)
    assert written(heard) == written(expected) != []
    found, alike = series(heard), series(expected)
    assert list(found) == list(alike)
    for step, metrics in alike.items():
        assert found[step].keys() == metrics.keys()
        for name, value in metrics.items():
            if name.partition("_")[2] not in OF_A_BATCH and name not in TIMES and name != "phase":
                assert found[step][name] == pytest.approx(value, rel=1e-3, abs=1e-4), (step, name)
    weights = [load_file(child.folder / heard[-1]["path"] / "adapter_model.safetensors") for child in (pair, one)]
    for name, tensor in weights[1].items():
        torch.testing.assert_close(weights[0][name], tensor, atol=1e-4, rtol=1e-3)
    assert heard[-1]["trained_tokens"] == expected[-1]["trained_tokens"]


class TestTurns:
    @pytest.mark.parametrize(("rank", "own"), [("0", ["a", "c", "e"]), ("1", ["b", "d", None])])
    def test_every_rank_takes_its_share_and_as_many_turns(
        self, rank: str, own: list[str | None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", rank)
        assert list(ranks.turns("abcde")) == own

    def test_a_single_process_takes_all(self) -> None:
        assert list(ranks.turns("abc")) == ["a", "b", "c"]


class TestResume:
    def test_after_a_stop_the_curve_equals_an_undisturbed_runs(
        self, pair: tuple[Child, list[Line]], tmp_path: Path
    ) -> None:
        """Stopped after step 1 or a little later: every rank leaves at the same step, with its own random state."""
        drained = Child(folder(tmp_path / "drained"), ranks=2)
        drained.until("metrics", step=1)
        drained.stop()
        checkpoint, stopped = [line for line in drained.rest() if line["type"] in ("checkpoint", "stopped")]
        assert stopped == {"type": "stopped", "step": checkpoint["step"]}
        assert drained.exit_code() == 0
        saved = drained.folder / checkpoint["path"]
        assert {"rng_state_0.pth", "rng_state_1.pth"} <= {path.name for path in saved.iterdir()}
        resumed = Child(folder(tmp_path / "resumed", resume=saved), ranks=2).rest()
        _, expected = pair
        assert resumed[-1] == expected[-1]
        assert series(resumed, after=stopped["step"]) == series(expected, after=stopped["step"])


class TestDeath:
    @pytest.mark.parametrize("victim", [0, 1])
    def test_kill_9_of_one_ends_all_at_once_and_without_a_word(self, victim: int, tmp_path: Path) -> None:
        """Without an `error` line, so that the supervisor tries again."""
        child = Child(folder(tmp_path / "work"), ranks=2)
        child.until("metrics", step=1)
        processes = rank_processes(child)
        assert len(processes) == 2
        processes[victim].send_signal(signal.SIGKILL)
        assert of("error", child.rest()) == []
        assert child.exit_code() == LOST_RANK
        assert not any(process.is_running() and process.status() != "zombie" for process in processes)

    @pytest.mark.parametrize("main", [run, run_as_on_gpus])
    def test_kill_9_of_the_child_takes_the_ranks_with_it(self, main: Any, tmp_path: Path) -> None:
        child = Child(folder(tmp_path / "work"), ranks=2, main=main)
        child.until("metrics", step=1)
        processes = rank_processes(child)
        child.kill()
        _, alive = psutil.wait_procs(processes, timeout=60)
        assert alive == []


class TestFailure:
    def test_a_batch_that_the_ranks_cannot_share_is_refused_with_the_way_out(self, tmp_path: Path) -> None:
        child = Child(folder(tmp_path / "work", batch_size=3), ranks=2)
        error = child.rest()[-1]
        assert error["type"] == "error"
        assert error["param"] == "batch_size"
        assert "batch_size=3 cannot be shared evenly by the 2 GPUs" in error["message"]
        assert "choose a multiple of 2" in error["message"]
        assert child.exit_code() == 1

    def test_a_lost_rank_is_told_from_a_trouble_of_ones_own(self) -> None:
        lost = RuntimeError("[../gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:4711")
        assert torchrun.lost_another(lost)
        assert not torchrun.lost_another(RuntimeError("can't allocate memory"))
        assert not torchrun.lost_another(ValueError("loss is nan"))
