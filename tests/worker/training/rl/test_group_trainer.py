"""What a step reports of its groups, against arithmetic."""

import inspect
from pathlib import Path
from typing import Any

import pytest
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.rloo_config import RLOOConfig

from tests.worker.training.rl.rewarded import folder
from worker.training.process.job_spec import Work
from worker.training.rl import group_setup
from worker.training.rl.evaluation import judged
from worker.training.rl.group_trainer import judged_metrics, of_groups
from worker.training.rl.rollouts import Scored

pytestmark = pytest.mark.slow  # TRL takes seconds to import


def test_a_groups_own_spread_is_told_from_the_batchs() -> None:
    """(0, 2): 1 and (5, 5): 0 are 0.5 on average; the four together are √((3² + 1² + 2² + 2²) ÷ 4) = √4.5."""
    found = of_groups([0.0, 2.0, 5.0, 5.0], 2)
    assert found["group_reward_std"] == 0.5
    assert found["batch_reward_std"] == pytest.approx(4.5**0.5)
    assert (found["equal_groups"], found["unjudged"]) == (0.5, 0.0)


def test_rewards_that_differ_by_rounding_are_equal() -> None:
    assert of_groups([0.3, 0.1 + 0.2], 2)["equal_groups"] == 1.0


def test_where_nothing_was_judged_no_group_has_a_spread() -> None:
    assert of_groups([None] * 4, 2) == {"unjudged": 4.0}


def test_a_group_with_one_reward_says_nothing_of_spread() -> None:
    found = of_groups([None, 1.0, 1.0, 3.0], 2)
    assert (found["unjudged"], found["group_reward_std"], found["equal_groups"]) == (1.0, 1.0, 0.0)
    assert "equal_groups" not in of_groups([None, 1.0], 2)


def test_a_validation_in_which_nothing_was_scored_reports_no_reward() -> None:
    nothing = judged_metrics(judged([3, 5], Scored([None, None], {"f": [None, None]}, 1, 0.1)))
    assert nothing == {"valid_completion_length_mean": 4.0, "valid_unjudged": 2.0}
    half = judged_metrics(judged([3, 5], Scored([None, 0.5], {"f": [None, 0.5]}, 1, 0.1)))
    assert (half["valid_reward_mean"], half["valid_rewards/f/mean"], half["valid_unjudged"]) == (0.5, 0.5, 1.0)


@pytest.mark.parametrize("config", [GRPOConfig, RLOOConfig])
def test_each_batch_of_completions_makes_one_update_by_the_policy_that_drew_it(config: Any, tmp_path: Path) -> None:
    """So TRL's GRPO takes the update's own log-probabilities for the old ones, and makes no pass for them."""
    args = config(**group_setup.arguments_of(Work.read(folder(tmp_path / "work"))))
    assert args.num_iterations == 1
    assert args.steps_per_generation == args.gradient_accumulation_steps
    if config is GRPOConfig:
        source = inspect.getsource(GRPOTrainer._generate_and_score_completions)
        assert "gradient_accumulation_steps % generate_every != 0" in source
        assert not args.use_vllm
