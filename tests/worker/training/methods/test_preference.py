"""Learning from comparisons: exactly resumed, and evaluated by arithmetic of our own."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fettle.datasets.formats.render import Renderer
from fettle.registry.catalog import STARTER
from tests.bases import padding_with_eos
from tests.worker.training.children import Child, Line, Row, comparisons, contents, of, series, work_folder

pytestmark = pytest.mark.slow

ROWS, BATCH, EPOCHS, SEED, RATE = 24, 8, 2, 7, 1e-3
METHODS: dict[str, dict[str, Any]] = {
    "dpo": {"beta": 0.2, "loss_type": "sigmoid", "label_smoothing": 0.0},
    "reward_model": {"center_rewards_coefficient": 0.01},
}
Finished = Callable[[str], tuple[Child, list[Line]]]


def folder(path: Path, method: str, train: list[Row] | None = None, **more: Any) -> Path:
    options: dict[str, Any] = {"n_epochs": EPOCHS, "batch_size": BATCH, "learning_rate": RATE, "warmup_ratio": 0.0}
    rows = train or comparisons(ROWS)
    return work_folder(path, rows, comparisons(10, "held_out"), method=method, **options | METHODS[method] | more)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One run of each method, made when it is first asked for."""
    runs: dict[str, tuple[Child, list[Line]]] = {}

    def run(method: str) -> tuple[Child, list[Line]]:
        if method not in runs:
            child = Child(folder(tmp_path_factory.mktemp(method) / "work", method))
            runs[method] = child, child.rest()
        assert runs[method][1][-1]["type"] == "done", runs[method][1][-1]
        return runs[method]

    return run


@pytest.mark.parametrize("method", METHODS)
class TestEveryMethod:
    def test_after_kill_9_the_curve_and_the_adapter_equal_an_undisturbed_runs(
        self, method: str, finished: Finished, tmp_path: Path
    ) -> None:
        whole, expected = finished(method)
        killed = Child(folder(tmp_path / "killed", method))
        (checkpoint,) = of("checkpoint", killed.until("checkpoint"))
        killed.kill()
        resumed = Child(folder(tmp_path / "resumed", method, resume=killed.folder / checkpoint["path"]))
        heard = resumed.rest()
        step = checkpoint["step"]
        assert 1 < step < EPOCHS * ROWS // BATCH
        assert series(heard, after=step) == series(expected, after=step) != {}
        assert of("evaluation", heard) == of("evaluation", expected) != []
        assert heard[-1] == expected[-1]
        assert contents(resumed.folder / "out" / "adapter") == contents(whole.folder / "out" / "adapter")

    def test_a_stop_saves_at_the_next_step_and_the_run_goes_on_from_there(
        self, method: str, finished: Finished, tmp_path: Path
    ) -> None:
        whole, expected = finished(method)
        stopped = Child(folder(tmp_path / "stopped", method))
        stopped.until("metrics", step=1)
        stopped.stop()
        *_, checkpoint, end = [line for line in stopped.rest() if line["type"] not in ("event", "metrics")]
        step = checkpoint["step"]
        assert end == {"type": "stopped", "step": step}
        assert 1 < step < EPOCHS * ROWS // BATCH
        resumed = Child(folder(tmp_path / "resumed", method, resume=stopped.folder / checkpoint["path"]))
        assert series(resumed.rest(), after=step) == series(expected, after=step) != {}
        assert contents(resumed.folder / "out" / "adapter") == contents(whole.folder / "out" / "adapter")

    def test_stops_early_keeps_the_best_step_and_ends_the_same_when_resumed(self, method: str, tmp_path: Path) -> None:
        """No validation is better by 10, so that the run stops at the third; the best of the three is published."""
        early: dict[str, Any] = {"early_stopping": {"patience": 2, "min_delta": 10.0}}
        early |= {"eval_interval": 1, "checkpoint_interval": 1}
        whole = Child(folder(tmp_path / "whole", method, **early))
        expected = whole.rest()
        assert expected[-1]["type"] == "done", whole.log
        losses = {step: values["valid_loss"] for step, values in series(expected).items()}
        best = min(losses, key=lambda step: losses[step])
        assert (expected[-1]["step"], expected[-1]["kept_step"]) == (3, best)
        weights = "adapter_model.safetensors"
        published = contents(whole.folder / "out" / "adapter")
        assert published[weights] == contents(whole.folder / "out" / f"checkpoint-{best}")[weights]
        saved = whole.folder / "out" / "checkpoint-2"
        resumed = Child(folder(tmp_path / "resumed", method, resume=saved, **early))
        heard = resumed.rest()
        assert series(heard) == series(expected, after=2)
        assert heard[-1] == expected[-1]
        assert contents(resumed.folder / "out" / "adapter") == published

    def test_a_base_that_pads_with_its_end_of_text_learns_the_same(
        self, method: str, finished: Finished, tmp_path: Path
    ) -> None:
        whole, expected = finished(method)
        base = padding_with_eos(tmp_path / "base")
        child = Child(folder(tmp_path / "work", method, base=base))
        heard = child.rest()
        assert heard[-1]["type"] == "done", child.log
        assert series(heard) == series(expected) != {}
        assert of("evaluation", heard) == of("evaluation", expected) != []
        weights = "adapter_model.safetensors"
        published = contents(child.folder / "out" / "adapter")
        assert published[weights] == contents(whole.folder / "out" / "adapter")[weights]

    def test_publishes_an_adapter_and_nothing_else(self, method: str, finished: Finished) -> None:
        child, _ = finished(method)
        published = contents(child.folder / "out" / "adapter")
        config = json.loads(published.pop("adapter_config.json"))
        assert config["task_type"] == {"dpo": "CAUSAL_LM", "reward_model": "SEQ_CLS"}[method]
        assert {"adapter_model.safetensors", "tokenizer.json"} <= published.keys()
        assert not (child.folder / "out" / "adapter" / "ref").exists()

    def test_leaves_out_and_counts_pairs_that_are_too_long(self, method: str, tmp_path: Path) -> None:
        rows = comparisons(ROWS)
        rows[3]["rejected"] = "so " * 400
        child = Child(folder(tmp_path / "work", method, rows))
        event = child.until("event")[-1]
        child.kill()
        assert event["level"] == "warn"
        assert (event["data"]["pairs"], event["data"]["pairs_too_long"]) == (ROWS, 1)

    def test_leaves_validation_prompts_out_that_were_trained_on(self, method: str, tmp_path: Path) -> None:
        rows = comparisons(ROWS) + comparisons(4, "held_out")
        child = Child(folder(tmp_path / "work", method, rows))
        event = child.until("event", level="warn")[-1]
        child.kill()
        assert event["message"].startswith("validation_file tokenised")
        assert event["data"]["pairs_with_training_prompt"] == 4


def test_dpo_begins_at_log_2_and_moves_towards_the_better_response(finished: Finished) -> None:
    steps = series(finished("dpo")[1])
    assert steps[1]["train_loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert steps[1]["train_rewards_margins"] == 0
    last = steps[max(steps)]
    assert last["train_rewards_margins"] > 0
    assert last["train_rewards_margins"] == pytest.approx(
        last["train_rewards_chosen"] - last["train_rewards_rejected"], abs=1e-5
    )


def test_a_rewards_score_is_that_of_the_published_adapter(finished: Finished) -> None:
    """Loaded as PEFT and transformers load it, one response at a time and without padding."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    child, heard = finished("reward_model")
    base = AutoModelForSequenceClassification.from_pretrained(STARTER, num_labels=1, dtype=torch.float32)
    network = PeftModel.from_pretrained(base, str(child.folder / "out" / "adapter")).eval()
    renderer = Renderer(STARTER)
    margins = []
    for row in comparisons(10, "held_out"):
        scores = []
        for response in (row["chosen"], row["rejected"]):
            turns = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": response}]
            ids = renderer.render(turns).ids
            ids = ids[: len(ids) - ids[::-1].index(renderer.eos_id)]
            with torch.no_grad():
                scores.append(network(torch.tensor([ids])).logits.item())
        margins.append(scores[0] - scores[1])
    (line,) = of("evaluation", heard)
    assert line["data"]["tuned"]["reward_margin"] == pytest.approx(sum(margins) / len(margins), rel=1e-3)
    assert line["data"]["tuned"]["pairwise_accuracy"] == sum(margin > 0 for margin in margins) / len(margins)


class TestGoingOn:
    def test_the_reference_is_where_it_started(self, finished: Finished, tmp_path: Path) -> None:
        start = finished("dpo")[0].folder / "out" / "adapter"
        heard = Child(folder(tmp_path / "work", "dpo", start=start)).rest()
        steps = series(heard)
        assert steps[1]["train_loss"] == pytest.approx(math.log(2), abs=1e-6)
        before = series(finished("dpo")[1])
        assert steps[1]["train_logps_chosen"] > before[1]["train_logps_chosen"]
        assert not (tmp_path / "work" / "out" / "adapter" / "ref").exists()

    def test_an_adapter_of_another_rank_is_refused(self, finished: Finished, tmp_path: Path) -> None:
        start = finished("dpo")[0].folder / "out" / "adapter"
        heard = Child(folder(tmp_path / "work", "dpo", start=start, lora={"rank": 16})).rest()
        assert (heard[-1]["type"], heard[-1]["code"]) == ("error", "adapter_does_not_fit")

    def test_a_resumed_run_has_the_same_reference(self, finished: Finished, tmp_path: Path) -> None:
        start = finished("dpo")[0].folder / "out" / "adapter"
        whole = Child(folder(tmp_path / "whole", "dpo", start=start))
        expected = whole.rest()
        (checkpoint, _) = of("checkpoint", expected)
        saved = whole.folder / checkpoint["path"]
        heard = Child(folder(tmp_path / "resumed", "dpo", start=start, resume=saved)).rest()
        assert series(heard, after=checkpoint["step"]) == series(expected, after=checkpoint["step"]) != {}

    def test_a_reward_model_goes_on_from_a_model_that_chats_with_a_head_of_its_own(
        self, finished: Finished, tmp_path: Path
    ) -> None:
        start = finished("dpo")[0].folder / "out" / "adapter"
        child = Child(folder(tmp_path / "work", "reward_model", start=start))
        heard = child.rest()
        assert heard[-1]["type"] == "done", child.log
        afresh = series(finished("reward_model")[1])
        assert series(heard)[1]["train_loss"] != afresh[1]["train_loss"]
        published = contents(child.folder / "out" / "adapter")
        assert json.loads(published["adapter_config.json"])["task_type"] == "SEQ_CLS"
        assert b"score.weight" in published["adapter_model.safetensors"]


def test_a_reward_model_with_dropout_is_resumed_exactly(tmp_path: Path) -> None:
    """The random state matters here; DPO allows no dropout."""
    options: dict[str, Any] = {"lora": {"dropout": 0.1}}
    whole = Child(folder(tmp_path / "whole", "reward_model", **options))
    expected = whole.rest()
    (checkpoint, _) = of("checkpoint", expected)
    resumed = Child(folder(tmp_path / "resumed", "reward_model", resume=whole.folder / checkpoint["path"], **options))
    assert series(resumed.rest()) == series(expected, after=checkpoint["step"]) != {}
    assert contents(resumed.folder / "out" / "adapter") == contents(whole.folder / "out" / "adapter")
