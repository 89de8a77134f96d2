"""Groups, rewards and advantages of the reinforcement method, in real children."""

import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from tests.worker.training.children import Child, Line, contents, of, series, work_folder
from tests.worker.training.children import rows as supervised_rows
from tests.worker.training.rl.rewarded import Scores, answer, folder, serve

pytestmark = pytest.mark.slow

STEPS_PER_EPOCH, LAST = 4, 12
TIMES = {"generation_seconds", "scoring_seconds", "tokens_per_second"}


def curve(lines: list[Line], after: int = 0) -> dict[int, dict[str, float]]:
    steps = series(lines, after)
    return {step: {name: value for name, value in found.items() if name not in TIMES} for step, found in steps.items()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Child, list[Line]]:
    child = Child(folder(tmp_path_factory.mktemp("undisturbed") / "work", valid=4))
    return child, serve(child)


class TestARun:
    def test_every_step_scores_whole_groups_of_one_prompt(self, undisturbed: tuple[Child, list[Line]]) -> None:
        train = [line for line in of("score", undisturbed[1]) if line["purpose"] == "train"]
        assert [line["step"] for line in train] == list(range(1, LAST + 1))
        for line in train:
            groups = [line["rollouts"][first : first + 4] for first in (0, 4)]
            for number, group in enumerate(groups):
                assert {each["group"] for each in group} == {number}
                assert len({json.dumps(each["messages"]) for each in group}) == 1
            assert groups[0][0]["messages"] != groups[1][0]["messages"]

    def test_the_advantage_is_the_reward_above_the_groups_mean_in_the_groups_spread(
        self, undisturbed: tuple[Child, list[Line]]
    ) -> None:
        """(r − mean) ÷ (std + 1e-4), the spread with n − 1 below (DeepSeekMath, section 4.1.2)."""
        lines = undisturbed[1]
        for scored, told in zip(
            [line for line in of("score", lines) if line["purpose"] == "train"], of("rollouts", lines), strict=True
        ):
            assert told["step"] == scored["step"]
            rewards = [
                (f"<answer>{each['item']['answer']}</answer>" in each["completion"]) - len(each["completion"]) / 40
                for each in scored["rollouts"]
            ]
            for first in (0, 4):
                group = rewards[first : first + 4]
                expected = [(each - statistics.mean(group)) / (statistics.stdev(group) + 1e-4) for each in group]
                assert told["advantages"][first : first + 4] == pytest.approx(expected, abs=1e-3)

    def test_metrics_go_by_the_fields_names(self, undisturbed: tuple[Child, list[Line]]) -> None:
        first = curve(undisturbed[1])[1]
        assert first.keys() >= {
            "train_loss",
            "train_reward_mean",
            "train_reward_std",
            "rewards/right/mean",
            "rewards/short/std",
            "entropy",
            "clip_fraction",
            "completion_length_mean",
            "reward_std",
            "zero_spread_groups",
            "unjudged",
            "grader_errors",
            "grad_norm",
        }
        scored = of("score", undisturbed[1])[0]["rollouts"]
        lengths = [each["tokens"] for each in scored]
        assert first["completion_length_mean"] == pytest.approx(statistics.mean(lengths))
        letters = [len(each["completion"]) for each in scored]
        assert first["rewards/short/mean"] == pytest.approx(-statistics.mean(letters) / 40, abs=1e-6)

    def test_without_a_reference_there_is_no_kl(self, undisturbed: tuple[Child, list[Line]]) -> None:
        assert {line["kl"] for line in of("rollouts", undisturbed[1])} == {None}

    def test_base_and_tuned_are_compared_on_the_validation_prompts(self, undisturbed: tuple[Child, list[Line]]) -> None:
        (evaluation,) = of("evaluation", undisturbed[1])
        data = evaluation["data"]
        assert data["rows"] == 4
        assert data["base"].keys() == data["tuned"].keys() >= {"reward_mean", "rewards", "completion_length_mean"}
        assert len(data["samples"]) == 4

    def test_a_completion_that_no_grader_could_judge_moves_nothing(self, tmp_path: Path) -> None:
        child = Child(folder(tmp_path / "work", n_epochs=1))
        lines = serve(child, lambda batch: {"broken": [None, *(each["tokens"] / 10 for each in batch[1:])]})
        assert all(line["advantages"][0] == 0 for line in of("rollouts", lines))
        assert curve(lines)[1]["grader_errors"] == pytest.approx(1 / 8)
        assert lines[-1]["type"] == "done"


def test_completions_are_held_to_the_response_format_in_training_and_evaluation(tmp_path: Path) -> None:
    schema = {"enum": ["7", "19", "fifty"]}
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    made = folder(tmp_path / "work", count=2, valid=2, n_epochs=1)
    spec = json.loads((made / "spec.json").read_text())
    spec["method"]["reinforcement"]["response_format"] = form
    (made / "spec.json").write_text(json.dumps(spec))
    heard = serve(Child(made))
    said = [each["completion"] for line in of("score", heard) for each in line["rollouts"]]
    assert {json.loads(text) for text in said} <= {"7", "19", "fifty"}
    assert {line["purpose"] for line in of("score", heard)} >= {"train", "validation"}
    assert [line for line in of("event", heard) if "JSON schema" in line["message"]]
    assert heard[-1]["type"] == "done"


class TestResume:
    def test_after_kill_9_rewards_losses_and_the_adapter_equal_an_undisturbed_runs(
        self, undisturbed: tuple[Child, list[Line]], tmp_path: Path
    ) -> None:
        """Resumed in the second epoch, where TRL's own sampler would begin with the first one's order."""
        killed = Child(folder(tmp_path / "killed", valid=4))
        serve(killed, until="checkpoint")
        (checkpoint, *_) = of("checkpoint", serve(killed, until="checkpoint"))
        killed.kill()
        step = checkpoint["step"]
        assert step == 2 * STEPS_PER_EPOCH
        resumed = Child(folder(tmp_path / "resumed", valid=4, resume=killed.folder / checkpoint["path"]))
        assert_equal_from(step, undisturbed, resumed, serve(resumed))

    def test_a_stop_while_completions_are_scored_loses_no_step(
        self, undisturbed: tuple[Child, list[Line]], tmp_path: Path
    ) -> None:
        stopped = Child(folder(tmp_path / "stopped", valid=4))
        for line in stopped.lines:
            if line["type"] == "score" and line["step"] == 3:
                break
            if line["type"] == "score":
                answer(stopped, line)
        stopped.stop()  # and no answer
        checkpoint, end = [line for line in stopped.rest() if line["type"] != "event"]
        assert (checkpoint["type"], checkpoint["step"], end["type"]) == ("checkpoint", 2, "stopped")
        resumed = Child(folder(tmp_path / "resumed", valid=4, resume=stopped.folder / checkpoint["path"]))
        assert_equal_from(2, undisturbed, resumed, serve(resumed))

    def test_a_stop_while_validation_is_scored_loses_no_step(
        self, undisturbed: tuple[Child, list[Line]], tmp_path: Path
    ) -> None:
        stopped = Child(folder(tmp_path / "stopped", valid=4))
        for line in stopped.lines:
            if line["type"] == "score" and line["purpose"] == "validation":
                break
            if line["type"] == "score":
                answer(stopped, line)
        stopped.stop()  # and no answer
        checkpoint, _ = [line for line in stopped.rest() if line["type"] != "event"]
        assert checkpoint["step"] == STEPS_PER_EPOCH
        resumed = Child(folder(tmp_path / "resumed", valid=4, resume=stopped.folder / checkpoint["path"]))
        assert_equal_from(STEPS_PER_EPOCH, undisturbed, resumed, serve(resumed))


def assert_equal_from(step: int, undisturbed: tuple[Child, list[Line]], resumed: Child, heard: list[Line]) -> None:
    child, expected = undisturbed
    assert list(curve(expected)) == list(range(1, LAST + 1))
    assert curve(heard, after=step) == curve(expected, after=step)
    assert heard[-1] == expected[-1]
    assert contents(resumed.folder / "out" / "adapter") == contents(child.folder / "out" / "adapter")


class TestEarlyStopping:
    def test_the_best_reward_is_kept_and_a_resumed_run_ends_the_same(self, tmp_path: Path) -> None:
        """No reward is higher by 10, so that the run stops at the third validation; the best of the three is kept."""
        options: dict[str, Any] = {"valid": 4, "early_stopping": {"patience": 2, "min_delta": 10.0}}
        options |= {"eval_interval": 1, "checkpoint_interval": 1}
        whole = Child(folder(tmp_path / "whole", **options))
        expected = serve(whole)
        assert expected[-1]["type"] == "done", whole.log
        rewards = {step: values["valid_reward_mean"] for step, values in series(expected).items()}
        best = max(rewards, key=lambda step: rewards[step])
        assert (expected[-1]["step"], expected[-1]["kept_step"]) == (3, best)
        published = contents(whole.folder / "out" / "adapter")
        weights = "adapter_model.safetensors"
        assert published[weights] == contents(whole.folder / "out" / f"checkpoint-{best}")[weights]
        resumed = Child(folder(tmp_path / "resumed", resume=whole.folder / "out" / "checkpoint-2", **options))
        heard = serve(resumed)
        assert curve(heard) == curve(expected, after=2) != {}
        assert heard[-1] == expected[-1]
        assert contents(resumed.folder / "out" / "adapter") == published


class TestGoingOn:
    def test_it_draws_from_the_adapter_and_is_resumed_with_the_same_reference(
        self, undisturbed: tuple[Child, list[Line]], tmp_path: Path
    ) -> None:
        """From an adapter that was shown how: it reasons at step 1, where it is its own reference.

        It always begins alike, so that only rewards by the place in the group differ.
        """

        def by_place(batch: list[Line]) -> Scores:
            return {"place": [float(number % 4) for number in range(len(batch))]}

        shown = Child(work_folder(tmp_path / "shown", supervised_rows(64), n_epochs=3, learning_rate=5e-3))
        assert shown.rest()[-1]["type"] == "done", shown.log
        start = shown.folder / "out" / "adapter"
        whole = Child(folder(tmp_path / "whole", start=start, n_epochs=2, kl_beta=0.1))
        expected = serve(whole, by_place)
        assert expected[-1]["type"] == "done", whole.log
        assert curve(expected)[1]["kl"] == pytest.approx(0, abs=1e-6)
        afresh = of("score", undisturbed[1])[0]["rollouts"]
        assert not all("<think>" in each["completion"] for each in afresh)
        assert all("<think>" in each["completion"] for each in of("score", expected)[0]["rollouts"])
        assert not any(path.is_dir() for path in (whole.folder / "out" / "adapter").iterdir())
        checkpoint, _ = of("checkpoint", expected)
        saved = whole.folder / checkpoint["path"]
        resumed = Child(folder(tmp_path / "resumed", start=start, n_epochs=2, kl_beta=0.1, resume=saved))
        assert curve(serve(resumed, by_place)) == curve(expected, after=checkpoint["step"]) != {}
        assert contents(resumed.folder / "out" / "adapter") == contents(whole.folder / "out" / "adapter")


@pytest.mark.parametrize("loss_type", ["grpo", "dr_grpo", "bnpo", "cispo", "gspo"])
def test_every_loss_trains(loss_type: str, tmp_path: Path) -> None:
    child = Child(folder(tmp_path / "work", count=2, n_epochs=2, loss_type=loss_type, kl_beta=0.05))
    lines = serve(child)
    assert lines[-1]["type"] == "done", child.log
    told = of("rollouts", lines)
    for scored, rollouts in zip([line for line in of("score", lines) if "rollouts" in line], told, strict=True):
        kl, tokens = rollouts["kl"], sum(each["tokens"] for each in scored["rollouts"])
        assert len(kl) == len(scored["rollouts"]) and min(kl) >= 0
        assert sum(kl) / tokens == pytest.approx(curve(lines)[rollouts["step"]]["kl"], rel=1e-4, abs=1e-9)
        same: dict[str, list[float]] = {}
        for each, value in zip(scored["rollouts"], kl, strict=True):
            same.setdefault(json.dumps([each["messages"], each["completion"]]), []).append(value)
        assert all(
            max(values) - min(values) < 1e-4 for values in same.values()
        )  # each has its own, though the loss has them shuffled
    assert max(told[0]["kl"]) == pytest.approx(0, abs=1e-6)  # the first step's policy is the reference
    assert len({round(value, 4) for value in told[1]["kl"]}) > 2
    assert not any(path.is_dir() for path in (child.folder / "out" / "adapter").iterdir())


def test_fewer_prompts_than_a_batch_are_refused_and_no_empty_success(tmp_path: Path) -> None:
    child = Child(folder(tmp_path / "work", count=2, batch_size=4))
    (error,) = of("error", child.rest())
    assert (error["code"], error["param"]) == ("too_few_prompts", "batch_size")


def test_prompts_that_leave_no_room_for_a_completion_are_refused(tmp_path: Path) -> None:
    child = Child(folder(tmp_path / "work", max_seq_length=20))
    (error,) = of("error", child.rest())
    assert error["code"] == "prompts_too_long"
    assert "max_completion_tokens" in error["message"]
