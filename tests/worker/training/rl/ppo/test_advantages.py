import math

import pytest
import torch

from worker.training.rl.ppo.advantages import explained_variance, gae, masked_mean, masked_variance, whitened


class TestGAE:
    def test_it_sums_discounted_errors_from_the_end(self) -> None:
        """γ 0.9, λ 0.5. δ₂ = 1 - 0.2 = 0.8; δ₁ = 0 + 0.9 × 0.2 - 0.4 = -0.22; δ₀ = 0.1 + 0.9 × 0.4 - 0.5 = -0.04.

        A₂ = 0.8; A₁ = -0.22 + 0.45 × 0.8 = 0.14; A₀ = -0.04 + 0.45 × 0.14 = 0.023.
        """
        rewards_BT, values_BT = torch.tensor([[0.1, 0.0, 1.0]]), torch.tensor([[0.5, 0.4, 0.2]])
        advantages_BT, returns_BT = gae(rewards_BT, values_BT, torch.ones(1, 3), 0.9, 0.5)
        assert advantages_BT.tolist()[0] == pytest.approx([0.023, 0.14, 0.8], abs=1e-6)
        assert returns_BT.tolist()[0] == pytest.approx([0.523, 0.54, 1.0], abs=1e-6)

    def test_padding_gets_nothing_and_changes_nothing(self) -> None:
        rewards_BT, values_BT = torch.tensor([[0.0, 1.0, 7.0, 7.0]]), torch.tensor([[0.5, 0.4, 9.0, math.nan]])
        mask_BT = torch.tensor([[1, 1, 0, 0]])
        padded, padded_returns = gae(rewards_BT, values_BT, mask_BT, 0.9, 0.5)
        short, short_returns = gae(rewards_BT[:, :2], values_BT[:, :2], mask_BT[:, :2], 0.9, 0.5)
        assert padded.tolist()[0] == [*short.tolist()[0], 0, 0]
        assert padded_returns.tolist()[0] == [*short_returns.tolist()[0], 0, 0]

    def test_with_lambda_1_it_is_the_return_less_the_value(self) -> None:
        rewards_BT, values_BT = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.3, 0.2, 0.1]])
        advantages_BT, returns_BT = gae(rewards_BT, values_BT, torch.ones(1, 3), 1.0, 1.0)
        assert returns_BT.tolist()[0] == pytest.approx([6, 5, 3])
        assert advantages_BT.tolist()[0] == pytest.approx([5.7, 4.8, 2.9])

    def test_with_lambda_0_it_is_the_error_of_one_step(self) -> None:
        advantages_BT, _ = gae(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.3, 0.2]]), torch.ones(1, 2), 0.5, 0.0)
        assert advantages_BT.tolist()[0] == pytest.approx([1 + 0.1 - 0.3, 2 - 0.2])

    def test_one_token(self) -> None:
        advantages_BT, returns_BT = gae(torch.tensor([[1.0]]), torch.tensor([[0.25]]), torch.ones(1, 1), 0.9, 0.9)
        assert (advantages_BT.tolist(), returns_BT.tolist()) == ([[0.75]], [[1.0]])

    def test_rows_that_are_all_padding_get_nothing(self) -> None:
        advantages_BT, returns_BT = gae(torch.ones(2, 3), torch.ones(2, 3), torch.zeros(2, 3), 1.0, 0.95)
        assert not advantages_BT.any() and not returns_BT.any()


class TestWhitening:
    def test_mean_and_variance_are_those_of_the_tokens(self) -> None:
        # 1, 2, 3: mean 2, variance 2/3
        white_BT = whitened(torch.tensor([[1.0, 2.0], [3.0, 99.0]]), torch.tensor([[1, 1], [1, 0]]))
        unit = math.sqrt(1.5)
        assert white_BT.flatten().tolist() == pytest.approx([-unit, 0, unit, 0], abs=1e-5)

    def test_equal_tokens_or_a_single_one_leave_nothing(self) -> None:
        assert not whitened(torch.full((1, 3), 4.0), torch.ones(1, 3)).any()
        assert not whitened(torch.tensor([[4.0, 5.0]]), torch.tensor([[1, 0]])).any()

    def test_padding_alone_gives_zeros(self) -> None:
        assert whitened(torch.tensor([[math.nan, 2.0]]), torch.zeros(1, 2)).tolist() == [[0, 0]]

    def test_mean_and_variance_of_no_token_are_zero(self) -> None:
        x_BT, mask_BT = torch.tensor([[math.nan]]), torch.zeros(1, 1)
        assert (float(masked_mean(x_BT, mask_BT)), float(masked_variance(x_BT, mask_BT))) == (0, 0)


class TestExplainedVariance:
    def test_it_is_the_share_of_the_returns_variance_that_the_values_have(self) -> None:
        # returns 1, 3: variance 1; rests 0, 1: variance 0.25
        returns_BT, values_BT = torch.tensor([[1.0, 3.0, 50.0]]), torch.tensor([[1.0, 2.0, 0.0]])
        assert explained_variance(values_BT, returns_BT, torch.tensor([[1, 1, 0]])) == pytest.approx(0.75)

    def test_perfect_values_explain_all_and_a_constant_nothing(self) -> None:
        returns_BT, mask_BT = torch.tensor([[1.0, 3.0, 8.0]]), torch.ones(1, 3)
        assert explained_variance(returns_BT, returns_BT, mask_BT) == 1
        assert explained_variance(torch.full((1, 3), 2.0), returns_BT, mask_BT) == pytest.approx(0)

    def test_where_returns_do_not_vary_there_is_nothing_to_explain(self) -> None:
        assert explained_variance(torch.tensor([[1.0, 2.0]]), torch.ones(1, 2), torch.ones(1, 2)) == 0
