"""Reinforcement with tools, in real children.

The bare starter has never seen a call. It begins its answers with '<' or a digit, and a response format that allows
neither leaves it nothing but a call.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.worker.training.children import Child, Line, contents, of, series, write_rows
from tests.worker.training.rl.rewarded import Scores, folder, serve
from worker.training.methods.grpo import GRPO

pytestmark = pytest.mark.slow

DIGITS = {"type": "integer", "minimum": 0, "maximum": 99}
TOOL = {
    "name": "multiply",
    "parameters": {
        "type": "object",
        "properties": {"a": DIGITS, "b": DIGITS},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
    "source": "def multiply(a, b):\n    return a * b\n",
}
TIMES = {"generation_seconds", "scoring_seconds", "tokens_per_second"}


def tools_folder(path: Path, **options: Any) -> Path:
    made = folder(
        path,
        count=4,
        valid=1,
        n_epochs=1,
        checkpoint_interval=1,
        max_completion_tokens=200,
        kl_beta=0.05,
        max_turns=2,
        **options,
    )
    for name, first in (("train", 11), ("valid", 21)):
        numbers = range(first, first + (4 if name == "train" else 1))
        write_rows(made / name, [{"prompt": f"What is {n} * 7?", "answer": str(n * 7)} for n in numbers])
    spec = json.loads((made / "spec.json").read_text())
    spec["method"]["reinforcement"]["tools"] = [TOOL]
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"enum": ["none"]}}}
    spec["method"]["reinforcement"]["response_format"] = form
    (made / "spec.json").write_text(json.dumps(spec))
    return made


def by_letters(batch: list[Line]) -> Scores:
    """So that no group is all equal."""
    return {"letters": [len(json.dumps(each["turns"])) / 100 for each in batch]}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Child, list[Line]]:
    child = Child(tools_folder(tmp_path_factory.mktemp("tools") / "work"))
    return child, serve(child, by_letters)


def curve(lines: list[Line], after: int = 0) -> dict[int, dict[str, float]]:
    steps = series(lines, after)
    return {step: {name: value for name, value in found.items() if name not in TIMES} for step, found in steps.items()}


def test_a_rollout_has_every_turn_and_its_last_text_is_scored(undisturbed: tuple[Child, list[Line]]) -> None:
    child, lines = undisturbed
    assert lines[-1]["type"] == "done", child.log
    rollouts = [each for line in of("score", lines) if line["purpose"] == "train" for each in line["rollouts"]]
    answered = [
        each for each in rollouts if [turn["role"] for turn in each["turns"]] == ["assistant", "tool", "assistant"]
    ]
    assert answered, rollouts[0]["turns"]
    for each in rollouts:
        assert each["completion"] == (each["turns"][-1]["content"] or "")
        assert [turn["role"] for turn in each["turns"]][::2] == ["assistant"] * ((len(each["turns"]) + 1) // 2)
    asked = [call for line in of("call_tools", lines) for call in line["calls"]]
    assert {call["name"] for call in asked} == {"multiply"}


def test_what_tools_say_counts_neither_as_tokens_nor_in_the_kl(undisturbed: tuple[Child, list[Line]]) -> None:
    """TRL's mean length is of the tokens that its loss counts, and its KL a mean over them."""
    lines = undisturbed[1]
    steps = curve(lines)
    train = [line for line in of("score", lines) if line["purpose"] == "train"]
    for scored, told in zip(train, of("rollouts", lines), strict=True):
        tokens, found = [each["tokens"] for each in scored["rollouts"]], steps[told["step"]]
        assert found["completion_length_mean"] == pytest.approx(sum(tokens) / len(tokens))
        assert sum(told["kl"]) / sum(tokens) == pytest.approx(found["kl"], rel=1e-3, abs=1e-7)
    assert steps[1]["tools/call_frequency"] > 0
    assert 0 <= steps[1]["tools/failure_frequency"] <= 1
    assert steps[2]["kl"] > 0


def test_validation_and_evaluation_call_tools_as_well(undisturbed: tuple[Child, list[Line]]) -> None:
    lines = undisturbed[1]
    held_out = [each for line in of("score", lines) if line["purpose"] == "validation" for each in line["rollouts"]]
    assert any(turn["role"] == "tool" for each in held_out for turn in each["turns"])


def test_a_resumed_run_ends_with_the_same_adapter(undisturbed: tuple[Child, list[Line]], tmp_path: Path) -> None:
    child, expected = undisturbed
    checkpoint = of("checkpoint", expected)[0]
    resumed = Child(tools_folder(tmp_path / "resumed", resume=child.folder / checkpoint["path"]))
    heard = serve(resumed, by_letters)
    assert curve(heard) == curve(expected, after=checkpoint["step"]) != {}
    assert contents(resumed.folder / "out" / "adapter") == contents(child.folder / "out" / "adapter")


def test_a_rollouts_kl_leaves_out_what_tools_said() -> None:
    """k3 of log ratios 1 and −1, e − 2 and 1/e; the tool's token has a ratio of 5."""
    kept: dict[str, Any] = {}

    class Judge:
        def stored(self, step: int, advantages: Any, kl: list[float]) -> None:
            kept["kl"] = kl

    policy = type("Policy", (), {})()
    policy.accelerator = type("One", (), {"gather": staticmethod(lambda pair: pair)})
    policy.judge, policy.kl, policy.advantages = Judge(), {}, [0.0]
    policy.state = type("State", (), {"global_step": 0})
    inputs = {
        "ref_per_token_logps": torch.tensor([[1.0, 5.0, -1.0]]),
        "completion_mask": torch.ones(1, 3),
        "tool_mask": torch.tensor([[1, 0, 1]]),
        "rollouts_B": torch.tensor([0]),
    }
    GRPO.note_kl(policy, torch.zeros(1, 3), inputs)
    assert kept["kl"] == [pytest.approx((torch.e - 2) + 1 / torch.e, rel=1e-5)]
