import pytest
import torch

from worker.training.rl.ppo.losses import clipped, surrogate, value_loss

RATIOS = torch.tensor([[1.0, 1.5, 1.5, 0.5, 0.5, 1.1]])
ADVANTAGES = torch.tensor([[2.0, 2.0, -2.0, 2.0, -2.0, -2.0]])


class TestSurrogate:
    def test_it_takes_the_worse_of_the_ratio_and_the_clipped_one(self) -> None:
        # 1 × 2; min(1.5, 1.2) × 2; 1.5 × -2, which is worse than 1.2 × -2; 0.5 × 2; 0.8 × -2; 1.1 × -2
        loss_BT = surrogate(RATIOS.log(), torch.zeros(1, 6), ADVANTAGES, 0.2)
        assert loss_BT.tolist()[0] == pytest.approx([-2.0, -2.4, 3.0, -1.0, 1.6, 2.2])

    def test_its_gradient_ends_where_the_ratio_has_gone_far_enough_already(self) -> None:
        """∂(−A · ratio)/∂ ln π = −A · ratio, and 0 at the second and the fifth."""
        logprobs_BT = RATIOS.log().requires_grad_()
        surrogate(logprobs_BT, torch.zeros(1, 6), ADVANTAGES, 0.2).sum().backward()
        assert logprobs_BT.grad is not None
        assert logprobs_BT.grad.tolist()[0] == pytest.approx([-2.0, 0.0, 3.0, -1.0, 0.0, 2.2])

    def test_at_the_policy_that_sampled_it_is_the_policy_gradient(self) -> None:
        logprobs_BT = torch.tensor([[-1.0, -3.0]], requires_grad=True)
        surrogate(logprobs_BT, logprobs_BT.detach(), torch.tensor([[0.5, -4.0]]), 0.2).sum().backward()
        assert logprobs_BT.grad is not None and logprobs_BT.grad.tolist() == [[-0.5, 4.0]]

    def test_the_clip_fraction_counts_ratios_outside_the_range(self) -> None:
        assert clipped(RATIOS.log(), torch.zeros(1, 6), 0.2).tolist() == [[0, 1, 1, 1, 1, 0]]


class TestValueLoss:
    def test_it_takes_the_worse_of_the_value_and_the_clipped_one(self) -> None:
        # all with V_old 1, R 2, ε 0.2: V 1.1 → ½ 0.9²; V 2 is held at 1.2 → ½ 0.8²; V 0 is worse than 0.8 → ½ 2²
        values_BT = torch.tensor([[1.1, 2.0, 0.0]])
        loss_BT = value_loss(values_BT, torch.ones(1, 3), torch.full((1, 3), 2.0), 0.2)
        assert loss_BT.tolist()[0] == pytest.approx([0.405, 0.32, 2.0])

    def test_its_gradient_ends_where_the_value_has_gone_far_enough_towards_the_return(self) -> None:
        values_BT = torch.tensor([[1.1, 2.0, 0.0]], requires_grad=True)
        value_loss(values_BT, torch.ones(1, 3), torch.full((1, 3), 2.0), 0.2).sum().backward()
        assert values_BT.grad is not None
        assert values_BT.grad.tolist()[0] == pytest.approx([-0.9, 0.0, -2.0])

    def test_gradients_agree_with_finite_differences(self) -> None:
        torch.manual_seed(3)
        values, logprobs, old, returns = (torch.randn(2, 4, dtype=torch.float64) for _ in range(4))
        assert torch.autograd.gradcheck(lambda x: value_loss(x, old, returns, 0.2), values.requires_grad_())
        assert torch.autograd.gradcheck(lambda x: surrogate(x, old, returns, 0.2), logprobs.requires_grad_())
