import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from worker.training.rl.ppo.rewards import AdaptiveKL, FixedKL, kl_k1, kl_k3, penalised, token_rewards

Estimate = Callable[[Tensor, Tensor, Tensor], Tensor]
MASK = torch.tensor([[1, 1, 0]]).bool()


def logs(*probabilities: float) -> Tensor:
    return torch.tensor([probabilities]).log()


class TestKL:
    def test_k1_is_the_log_ratio_at_every_token_and_nothing_at_padding(self) -> None:
        # ln 0.5/0.25 = ln 2; ln 0.2/0.4 = -ln 2; the third is padding
        kl_BT = kl_k1(logs(0.5, 0.2, 0.9), logs(0.25, 0.4, 0.1), MASK)
        assert kl_BT.tolist()[0] == pytest.approx([math.log(2), -math.log(2), 0])

    def test_k3_is_never_negative(self) -> None:
        # ρ/π = 0.5: 0.5 - 1 - ln 0.5 = ln 2 - 0.5; ρ/π = 2: 2 - 1 - ln 2
        kl_BT = kl_k3(logs(0.5, 0.2, 0.9), logs(0.25, 0.4, 0.1), MASK)
        assert kl_BT.tolist()[0] == pytest.approx([math.log(2) - 0.5, 1 - math.log(2), 0], abs=1e-6)

    @pytest.mark.parametrize("estimate", [kl_k1, kl_k3])
    def test_both_are_unbiased(self, estimate: Estimate) -> None:
        """Weighted with π over all of a vocabulary of three they give KL(π‖ρ)."""
        pi, rho = [0.7, 0.2, 0.1], [0.3, 0.3, 0.4]
        exact = sum(p * math.log(p / q) for p, q in zip(pi, rho, strict=True))
        each = estimate(logs(*pi), logs(*rho), torch.ones(1, 3).bool())
        assert float((each * torch.tensor([pi])).sum()) == pytest.approx(exact, abs=1e-6)

    @pytest.mark.parametrize("estimate", [kl_k1, kl_k3])
    def test_minus_infinity_in_the_padding_does_no_harm(self, estimate: Estimate) -> None:
        kl_BT = estimate(torch.tensor([[-1.0, -1.0, -math.inf]]), torch.tensor([[-1.0, -1.0, -math.inf]]), MASK)
        assert kl_BT.tolist() == [[0, 0, 0]]


class TestTokenRewards:
    def test_the_score_comes_at_the_last_token_and_kl_costs_at_each(self) -> None:
        kl_BT = torch.tensor([[0.5, -1.0, 9.0], [1.0, 2.0, 3.0]])
        mask_BT = torch.tensor([[1, 1, 0], [1, 1, 1]])
        rewards_BT = token_rewards(torch.tensor([2.0, -1.0]), kl_BT, mask_BT, 0.1)
        # -0.1 × 0.5; 0.1 × 1 + 2; padding  |  -0.1; -0.2; -0.3 - 1
        assert rewards_BT.tolist()[0] == pytest.approx([-0.05, 2.1, 0.0])
        assert rewards_BT.tolist()[1] == pytest.approx([-0.1, -0.2, -1.3])

    def test_one_token_gets_both(self) -> None:
        assert token_rewards(torch.tensor([1.0]), torch.tensor([[2.0]]), torch.ones(1, 1), 0.25).tolist() == [[0.5]]

    def test_a_row_that_is_all_padding_earns_nothing(self) -> None:
        rewards_BT = token_rewards(torch.tensor([5.0]), torch.tensor([[1.0, 1.0]]), torch.zeros(1, 2), 0.1)
        assert rewards_BT.tolist() == [[0, 0]]

    def test_a_missing_eos_costs_its_penalty(self) -> None:
        scores_B = penalised(torch.tensor([1.0, 1.0]), torch.tensor([True, False]), 0.75)
        assert scores_B.tolist() == [1.0, 0.25]


class TestKLControl:
    def test_a_fixed_coefficient_stays(self) -> None:
        assert FixedKL(0.05).after(1000.0).coefficient == 0.05

    @pytest.mark.parametrize(
        ("kl", "factor"),
        [
            (6.0, 1.0),
            (6.6, 1.01),  # 10 % too high: 1 + 0.1 × 0.1
            (60.0, 1.02),  # an error of at most 0.2
            (0.0, 0.98),
            (-5.0, 0.98),
        ],
    )
    def test_an_adaptive_one_moves_towards_its_target_two_percent_at_most(self, kl: float, factor: float) -> None:
        after = AdaptiveKL(0.5, target=6.0).after(kl)
        assert (after.coefficient, after.target) == (pytest.approx(0.5 * factor), 6.0)
