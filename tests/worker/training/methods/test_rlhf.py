"""RLHF in real children: two phases of one run, each resumed exactly."""

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.bases import padding_with_eos
from tests.worker.training.children import Child, Line, comparisons, contents, of, series, work_folder
from worker.training.rl.ppo.learner import STATE

pytestmark = pytest.mark.slow

ALGORITHMS = ("ppo", "rloo")
ROWS = 16
REWARD_STEPS, POLICY_STEPS = 4, 4  # of each, 2 an epoch
LAST = REWARD_STEPS + POLICY_STEPS
TIMES = {"generation_seconds", "scoring_seconds", "tokens_per_second"}
LORA = {"rank": 8, "alpha": 16, "dropout": 0.1}
REWARD_MODEL = {
    "n_epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "max_seq_length": 512, "lora": LORA,
    "learning_rate_multiplier": 1.0, "center_rewards_coefficient": 0.01,
}  # fmt: skip
POLICY: dict[str, Any] = {
    "n_epochs": 2, "learning_rate": 1e-3, "max_completion_tokens": 12, "temperature": 1.0, "kl_coefficient": 0.05,
    "clip": 0.2, "missing_eos_penalty": 1.0, "eval_samples": 1,
}  # fmt: skip
PPO: dict[str, Any] = {
    "group_size": 1, "batch_size": 8, "kl_target": 4.0, "ppo_epochs": 2, "minibatch_size": 4, "value_clip": 0.2,
    "gamma": 1.0, "lam": 0.95, "value_learning_rate": 1e-2,
}  # fmt: skip
RLOO: dict[str, Any] = {"group_size": 2, "batch_size": 8}


def folder(
    path: Path, algorithm: str = "ppo", *, reward_model: Path | None = None, train: Any = None, **options: Any
) -> Path:
    """Two steps an epoch in each phase. reward_model: one that is there already."""
    asked = {**POLICY, **(PPO if algorithm == "ppo" else RLOO), **options.pop("policy", {})}
    rows = comparisons(ROWS) if train is None else train
    made = work_folder(path, rows, comparisons(4, "held_out"), method="rlhf", **asked, **options)
    spec = json.loads((made / "spec.json").read_text())
    spec["method"]["rlhf"] |= {
        "algorithm": algorithm,
        "reward_model_hyperparameters": None if reward_model else REWARD_MODEL,
    }
    (made / "spec.json").write_text(json.dumps(spec))
    if reward_model:
        (made / "reward_model").symlink_to(reward_model)
    return made


def curve(lines: list[Line], after: int = 0) -> dict[int, dict[str, Any]]:
    steps = series(lines, after)
    return {step: {name: value for name, value in found.items() if name not in TIMES} for step, found in steps.items()}


Run = tuple[Child, list[Line]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    runs: dict[str, Run] = {}

    def run(algorithm: str) -> Run:
        if algorithm not in runs:
            child = Child(folder(tmp_path_factory.mktemp(algorithm) / "work", algorithm))
            runs[algorithm] = child, child.rest()
            assert runs[algorithm][1][-1]["type"] == "done", child.log
        return runs[algorithm]

    return run


def assert_equal_from(step: int, undisturbed: Run, resumed: Child) -> None:
    """Every loss, reward and KL of every later step, every rollout, and every byte of both adapters."""
    heard, (child, expected) = resumed.rest(), undisturbed
    assert list(curve(expected)) == list(range(1, LAST + 1))
    assert curve(heard, after=step) == curve(expected, after=step) != {}
    later = [line for line in of("rollouts", expected) if line["step"] > step]
    assert [line for line in of("rollouts", heard) if line["step"] > step] == later
    assert heard[-1] == expected[-1]
    assert of("evaluation", heard)[-1] == of("evaluation", expected)[-1]
    assert contents(resumed.folder / "out/policy/adapter") == contents(child.folder / "out/policy/adapter")


class TestARun:
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_the_phases_count_their_steps_on_and_every_line_names_its_phase(
        self, algorithm: str, undisturbed: Callable[[str], Run]
    ) -> None:
        lines = undisturbed(algorithm)[1]
        metrics = of("metrics", lines)
        assert {line["total_steps"] for line in metrics} == {LAST}
        for line in metrics:
            assert line["data"]["phase"] == ("reward_model" if line["step"] <= REWARD_STEPS else "policy")
        assert [line["step"] for line in of("checkpoint", lines)] == [2, 4, 6, 8]
        assert [line["metrics"]["phase"] for line in of("checkpoint", lines)] == ["reward_model"] * 2 + ["policy"] * 2
        assert all("phase" in line["data"] for line in of("event", lines))
        (published,) = of("reward_model", lines)
        assert (published["path"], published["step"]) == ("out/reward_model/adapter", REWARD_STEPS)
        assert published["proof"]["evidence"]["optimizer_steps"] == REWARD_STEPS

    def test_the_reward_model_and_the_policy_are_evaluated(self, undisturbed: Callable[[str], Run]) -> None:
        first, second = (line["data"] for line in of("evaluation", undisturbed("ppo")[1]))
        assert (first["phase"], second["phase"]) == ("reward_model", "policy")
        assert "pairwise_accuracy" in first["tuned"]
        assert {"reward_mean", "kl", "completion_length_mean"} <= second["tuned"].keys()
        assert len(second["samples"]) == 4

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_metrics_go_by_the_fields_names(self, algorithm: str, undisturbed: Callable[[str], Run]) -> None:
        steps = curve(undisturbed(algorithm)[1])
        assert {"train_accuracy", "train_margin", "valid_accuracy"} <= steps[REWARD_STEPS].keys()
        expected = {"train_reward_mean", "train_reward_std", "rewards/reward_model/mean", "kl", "entropy"}
        expected |= {"clip_fraction", "completion_length_mean", "grad_norm", "valid_reward_mean"}
        if algorithm == "ppo":
            expected |= {"kl_coefficient", "policy_loss", "value_loss", "explained_variance", "tokens"}
        assert expected <= steps[LAST].keys()

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_every_rollout_is_told_with_its_score_advantage_and_kl(
        self, algorithm: str, undisturbed: Callable[[str], Run]
    ) -> None:
        lines = undisturbed(algorithm)[1]
        told = of("rollouts", lines)
        assert [line["step"] for line in told] == list(range(REWARD_STEPS + 1, LAST + 1))
        for line in told:
            assert len(line["rollouts"]) == (8 if algorithm == "ppo" else 16)
            step = curve(lines)[line["step"]]
            assert step["kl"] == pytest.approx(statistics.mean(each["kl"] for each in line["rollouts"]), abs=1e-5)
            rewards = [each["reward"] for each in line["rollouts"]]
            assert step["train_reward_mean"] == pytest.approx(statistics.mean(rewards), abs=1e-5)
            for each in line["rollouts"]:
                assert each["tokens"] <= 12
                assert each["stop_reason"] in ("stop", "length")

    def test_a_reward_counts_in_the_spread_of_the_first_scores_less_the_penalty(
        self, undisturbed: Callable[[str], Run]
    ) -> None:
        lines = undisturbed("ppo")[1]
        scale = next(line["data"] for line in of("event", lines) if "score_std" in line["data"])
        for line in of("rollouts", lines):
            for each in line["rollouts"]:
                reward = (each["scores"]["reward_model"] - scale["score_mean"]) / scale["score_std"]
                penalty = 1.0 if each["stop_reason"] == "length" else 0.0
                assert each["reward"] == pytest.approx(reward - penalty, abs=1e-5)

    def test_rloos_advantage_is_what_a_completion_earns_above_its_siblings(
        self, undisturbed: Callable[[str], Run]
    ) -> None:
        """A group of two, in which each is the other's baseline: (r₁ − β·KL₁) − (r₂ − β·KL₂)."""
        for line in of("rollouts", undisturbed("rloo")[1]):
            for one, other in zip(line["rollouts"][::2], line["rollouts"][1::2], strict=True):
                assert one["messages"] == other["messages"]
                earned = [each["reward"] - 0.05 * each["kl"] for each in (one, other)]
                assert one["advantage"] == pytest.approx(earned[0] - earned[1], abs=1e-4)

    def test_what_is_published_is_the_policy_alone(self, undisturbed: Callable[[str], Run]) -> None:
        child, lines = undisturbed("ppo")
        adapter = child.folder / lines[-1]["path"]
        assert json.loads((adapter / "adapter_config.json").read_text())["task_type"] == "CAUSAL_LM"
        assert not any(path.is_dir() for path in adapter.iterdir())
        tokens = [line["data"]["tokens"] for line in of("metrics", lines) if "tokens" in line["data"]]
        assert lines[-1]["trained_tokens"] == tokens[-1]
        assert tokens == sorted(tokens)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_base_that_pads_with_its_end_of_text_learns_the_same(
    algorithm: str, undisturbed: Callable[[str], Run], tmp_path: Path
) -> None:
    """Reward model and policy: what stands behind the end of a row is nowhere looked at."""
    whole, expected = undisturbed(algorithm)
    child = Child(folder(tmp_path / "work", algorithm, base=padding_with_eos(tmp_path / "base")))
    heard = child.rest()
    assert heard[-1]["type"] == "done", child.log
    assert curve(heard) == curve(expected) != {}
    assert [line["rollouts"] for line in of("rollouts", heard)] == [
        line["rollouts"] for line in of("rollouts", expected)
    ]
    for phase in ("reward_model", "policy"):
        weights = f"out/{phase}/adapter/adapter_model.safetensors"
        assert (child.folder / weights).read_bytes() == (whole.folder / weights).read_bytes()


class TestResume:
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    @pytest.mark.parametrize("step", [2, 4, 6])
    def test_from_any_checkpoint_of_either_phase_a_run_equals_an_undisturbed_one(
        self, step: int, algorithm: str, undisturbed: Callable[[str], Run], tmp_path: Path
    ) -> None:
        """What kill -9 leaves is a checkpoint: in phase 1, at its very end, and in phase 2."""
        whole = undisturbed(algorithm)
        (checkpoint,) = (line for line in of("checkpoint", whole[1]) if line["step"] == step)
        resumed = Child(folder(tmp_path / "resumed", algorithm, resume=whole[0].folder / checkpoint["path"]))
        assert_equal_from(step, whole, resumed)

    @pytest.mark.parametrize(("after", "saved"), [(1, 2), (5, 6)])
    def test_a_stop_saves_at_the_next_step_of_its_phase_and_the_run_goes_on_from_there(
        self, after: int, saved: int, undisturbed: Callable[[str], Run], tmp_path: Path
    ) -> None:
        stopped = Child(folder(tmp_path / "stopped"))
        stopped.until("metrics", step=after)
        stopped.stop()
        *_, checkpoint, end = [line for line in stopped.rest() if line["type"] in ("checkpoint", "stopped")]
        assert end["type"] == "stopped"
        assert after <= checkpoint["step"] <= saved  # a stop in the middle of an update breaks it off
        resumed = Child(folder(tmp_path / "resumed", resume=stopped.folder / checkpoint["path"]))
        assert_equal_from(checkpoint["step"], undisturbed("ppo"), resumed)

    def test_a_checkpoint_of_the_policy_holds_all_that_it_needs(self, undisturbed: Callable[[str], Run]) -> None:
        child, lines = undisturbed("ppo")
        last = child.folder / of("checkpoint", lines)[-1]["path"]
        assert {STATE, "policy.json", "reward_model.safetensors", "reward_model.json"} <= contents(last).keys()
        assert not any(path.is_dir() for path in last.iterdir())


class TestAGivenRewardModel:
    def test_there_is_one_phase_and_prompts_are_enough(self, undisturbed: Callable[[str], Run], tmp_path: Path) -> None:
        given = undisturbed("ppo")[0].folder / "out/reward_model/adapter"
        prompts = [{"prompt": row["prompt"], "topic": "sums"} for row in comparisons(ROWS)]
        child = Child(folder(tmp_path / "work", reward_model=given, train=prompts))
        lines = child.rest()
        assert list(curve(lines)) == list(range(1, POLICY_STEPS + 1)), child.log
        assert of("reward_model", lines) == []
        assert of("rollouts", lines)[0]["rollouts"][0]["item"] == {"topic": "sums"}
        # the same scores, of the same completions, as in the job that trained it
        expected = of("rollouts", undisturbed("ppo")[1])[0]["rollouts"]
        scores = [each["scores"] for each in of("rollouts", lines)[0]["rollouts"]]
        assert scores == [each["scores"] for each in expected]

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_a_run_that_goes_on_from_an_adapter_begins_without_kl(
        self, algorithm: str, undisturbed: Callable[[str], Run], tmp_path: Path
    ) -> None:
        """The reference is where it started; the reward model is given, so that only the policy's adapter goes on."""
        done = undisturbed(algorithm)[0].folder
        made = folder(
            tmp_path / "work", algorithm, reward_model=done / "out/reward_model/adapter",
            start=done / "out/policy/adapter", policy={"n_epochs": 1},
        )  # fmt: skip
        child = Child(made)
        lines = child.rest()
        assert lines[-1]["type"] == "done", child.log
        assert curve(lines)[1]["kl"] == pytest.approx(0, abs=1e-4)
        assert abs(curve(lines)[2]["kl"]) > 1e-4
        assert not any(path.is_dir() for path in (made / "out/policy/adapter").iterdir())


def test_early_stopping_keeps_the_step_that_validated_best(tmp_path: Path) -> None:
    """No validation is better by a million, so that the run stops at the second; the better of the two is kept."""
    patience = {"early_stopping": {"patience": 1, "min_delta": 1e6}, "eval_interval": 1}
    child = Child(folder(tmp_path / "work", policy={"n_epochs": 3, **patience}))
    lines = child.rest()
    assert lines[-1]["type"] == "done", child.log
    rewards = {step: values["valid_reward_mean"] for step, values in series(lines, after=REWARD_STEPS).items()}
    assert lines[-1]["step"] == REWARD_STEPS + 2
    assert lines[-1]["kept_step"] == max(rewards, key=lambda step: rewards[step])


def test_too_few_prompts_are_refused_before_a_reward_model_is_trained(tmp_path: Path) -> None:
    again = comparisons(4) * 4  # sixteen comparisons of four prompts
    child = Child(folder(tmp_path / "work", train=again))
    lines = child.rest()
    (error,) = of("error", lines)
    assert (error["code"], error["param"]) == ("too_few_prompts", "batch_size")
    assert "has 4 prompts that fit" in error["message"]
    assert of("metrics", lines) == []
