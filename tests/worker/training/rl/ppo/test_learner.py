"""Updates of the starter with an adapter: what they draw, what they learn from, and how they go on after a stop."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from fettle.registry.catalog import STARTER
from tests.worker.training.networks import adapted
from tests.worker.training.rl.ppo.conftest import Learning
from worker.training.model import adapter
from worker.training.model.adapter import WEIGHTS
from worker.training.rl.ppo.experience import Prompt
from worker.training.rl.ppo.learner import Learner
from worker.training.rl.ppo.policy import freeze_start
from worker.training.rl.ppo.rewards import FixedKL
from worker.training.rl.sampling.completions import Watch

pytestmark = pytest.mark.slow  # transformers and peft take seconds to import


def weights(learner: Learner) -> list[bytes]:
    return [tensor.detach().numpy().tobytes() for tensor in [*learner.weights, *learner.head.parameters()]]


class TestDraw:
    def test_every_epoch_asks_every_prompt_once_in_an_order_of_its_own(
        self, network: PeftModel, learning: Learning
    ) -> None:
        learner, drawn = learning(network), []
        for learner.updates in range(10):
            drawn += [prompt.row for prompt in learner.draw()]
        epochs = [drawn[first : first + 10] for first in range(0, 40, 10)]
        assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
        assert epochs[0] != epochs[1]


class TestUpdate:
    def test_it_reports_the_fields_of_the_field_and_they_are_numbers(
        self, network: PeftModel, learning: Learning
    ) -> None:
        metrics, rollouts = learning(network).update()
        assert {
            "reward", "reward_std", "kl", "kl_coefficient", "entropy", "clip_fraction", "approx_kl", "loss",
            "policy_loss", "value_loss", "explained_variance", "grad_norm", "learning_rate", "completion_length",
            "share_ended",
        } <= metrics.keys()  # fmt: skip
        assert all(math.isfinite(value) for value in metrics.values())
        assert len(rollouts) == 8 and metrics["reward"] == sum(r.score or 0 for r in rollouts) / 8
        assert metrics["kl"] == pytest.approx(sum(rollout.kl for rollout in rollouts) / 8, abs=1e-5)

    def test_before_the_first_optimizer_step_the_policy_is_the_one_that_sampled(
        self, network: PeftModel, learning: Learning
    ) -> None:
        """Ratio 1 at every token: dropout is off, and both passes see the same."""
        learner = learning(network)
        experience = learner.experience()
        network.train()
        found = {name: float(value.detach()) for name, value in learner.part(experience, torch.arange(8)).items()}
        assert found["clip_fraction"] == 0 and found["approx_kl"] == pytest.approx(0, abs=1e-8)
        assert found["policy_loss"] == pytest.approx(0, abs=1e-5)  # the mean of whitened advantages

    def test_how_many_rows_a_pass_takes_does_not_change_the_step(self, learning: Learning) -> None:
        after = []
        for rows in (8, 3):
            learner = learning(adapted(Path(STARTER)), minibatch_size=8, rows_at_once=rows, epochs=1)
            report = learner.minibatch(learner.experience(), torch.arange(8))
            after.append((report, [tensor.grad.clone() for tensor in learner.weights if tensor.grad is not None]))
        (whole, grads), (parts, other_grads) = after
        assert parts == pytest.approx(whole, rel=1e-3, abs=1e-5)
        assert len(grads) > 10
        for mine, theirs in zip(grads, other_grads, strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-3)

    def test_an_update_tells_how_far_each_of_its_parts_is(self, network: PeftModel, learning: Learning) -> None:
        heard: dict[str, list[tuple[int, int, int]]] = {}

        def watches(phase: str) -> Watch:
            parts = heard.setdefault(phase, [])
            return lambda done, total, tokens: parts.append((done, total, tokens))

        learner = learning(network)
        learner.watches = watches
        learner.update()
        assert list(heard) == ["generating", "comparing", "training"]
        assert [(done, total) for done, total, _ in heard["comparing"]] == [(4, 8), (8, 8)]
        assert [(done, total) for done, total, _ in heard["training"]] == [(4, 16), (8, 16), (12, 16), (16, 16)]
        assert len(heard["generating"]) <= 24  # a token each
        assert {total for _, total, _ in heard["generating"]} == {8}
        assert heard["comparing"][-1][2] == learner.tokens
        assert heard["training"][-1][2] == 2 * learner.tokens  # in two epochs

    def test_a_completion_without_a_score_teaches_nothing(self, network: PeftModel, learning: Learning) -> None:
        def broken(prompts: Sequence[Prompt], completions: Sequence[Sequence[int]]) -> list[float | None]:
            return [None, math.nan] * (len(completions) // 2)

        learner = learning(network, broken)
        before = weights(learner)
        metrics, rollouts = learner.update()
        assert weights(learner) == before
        assert metrics["share_unscored"] == 1 and all(math.isfinite(value) for value in metrics.values())
        assert all(rollout.score is None for rollout in rollouts)

    def test_scores_that_are_too_few_are_refused(self, network: PeftModel, learning: Learning) -> None:
        with pytest.raises(ValueError, match="1 scores were given for 8 completions"):
            learning(network, lambda prompts, completions: [1.0]).update()

    def test_a_completion_that_was_cut_off_pays_for_its_missing_eos(
        self, network: PeftModel, learning: Learning
    ) -> None:
        learner = learning(network)
        learner.settings = replace(learner.settings, sampling=replace(learner.settings.sampling, max_tokens=3))
        _, rollouts = learner.update()
        assert not any(rollout.ended for rollout in rollouts)
        assert all(rollout.reward == (rollout.score or 0) - 1 for rollout in rollouts)

    def test_reward_rises_by_more_than_a_standard_deviation_while_kl_stays_bounded(self, learning: Learning) -> None:
        """The bundled base seldom reasons; asked for nothing but <think>, it learns to."""
        learner = learning(
            adapted(Path(STARTER), loud=0.0), kl=FixedKL(0.05), prompts=10, minibatch_size=10,
            rows_at_once=10, learning_rate=2e-3,
        )  # fmt: skip
        history = [learner.update()[0] for _ in range(7)]
        first, last = history[0], history[-1]
        assert last["reward"] > first["reward"] + first["reward_std"]
        assert max(metrics["kl"] for metrics in history) < 8


class TestResume:
    @pytest.mark.parametrize("chained", [False, True], ids=["from a base", "from a tuned model"])
    def test_a_run_that_was_interrupted_goes_on_to_the_bit(
        self, learning: Learning, tmp_path: Path, chained: bool
    ) -> None:
        """Metrics, rollouts, adapter, value head and β of five updates: two and three as well as at once."""

        def fresh() -> Learner:
            network = adapted(Path(STARTER), lora_dropout=0.1)
            if chained:
                freeze_start(network)
            return learning(network)

        def forward(learner: Learner, updates: int) -> list[Any]:
            return [learner.update() for _ in range(updates)]

        whole = fresh()
        expected = forward(whole, 5)
        first = fresh()
        found = forward(first, 2)
        adapter.save(first.network, tmp_path)
        torch.save((first.state(), first.optimizer.state_dict()), tmp_path / "state.pt")
        torch.manual_seed(99)  # nothing depends on the global generator
        second = fresh()
        adapter.load(second.network, tmp_path)
        state, optimizer = torch.load(tmp_path / "state.pt", weights_only=True)
        second.restore(state)
        second.optimizer.load_state_dict(optimizer)
        found += forward(second, 3)
        assert found == expected
        assert weights(second) == weights(whole)
        assert (second.kl, second.updates, second.tokens) == (whole.kl, whole.updates, whole.tokens)
        assert len({metrics["kl_coefficient"] for metrics, _ in expected}) > 1

    def test_an_update_whose_scoring_was_broken_off_can_be_made_again(self, learning: Learning) -> None:
        def stopped(prompts: Sequence[Prompt], completions: Sequence[Sequence[int]]) -> list[float]:
            raise InterruptedError

        undisturbed, disturbed = (learning(adapted(Path(STARTER)), epochs=1) for _ in range(2))
        score, disturbed.score = disturbed.score, stopped
        with pytest.raises(InterruptedError):
            disturbed.update()
        disturbed.score = score
        assert disturbed.update() == undisturbed.update()
        assert weights(disturbed) == weights(undisturbed)

    def test_a_checkpoint_holds_one_adapter_and_no_reference(self, tmp_path: Path) -> None:
        network = adapted(Path(STARTER))
        freeze_start(network)
        adapter.save(network, tmp_path)
        assert {path.name for path in tmp_path.iterdir()} - {"README.md"} == {"adapter_config.json", WEIGHTS}
        assert json.loads((tmp_path / "adapter_config.json").read_text())["r"] == 8
