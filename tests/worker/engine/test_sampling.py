import math

import pytest
import torch

from worker.engine.sampling import draw, nucleus, probabilities, sample


def row(*values: float) -> torch.Tensor:
    return torch.tensor([values])


def one(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64)


def test_temperature_divides_the_logits_before_the_softmax() -> None:
    # exp(2/2), exp(1/2), exp(0/2) over their sum
    weights = [math.exp(1.0), math.exp(0.5), 1.0]
    expected = [weight / sum(weights) for weight in weights]
    assert probabilities(row(2.0, 1.0, 0.0), one(2.0))[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_each_row_has_its_own_temperature() -> None:
    both = probabilities(torch.tensor([[2.0, 0.0], [2.0, 0.0]]), torch.tensor([1.0, 0.5]))
    assert both[:, 0].tolist() == pytest.approx([1 / (1 + math.exp(-2)), 1 / (1 + math.exp(-4))], abs=1e-6)


def test_a_tiny_temperature_neither_overflows_nor_loses_the_likeliest() -> None:
    assert probabilities(row(90.0, 89.0, -90.0), one(1e-30))[0].tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [
        (0.3, [0, 0.5, 0, 0]),  # the likeliest stays even when it is more than top_p
        (0.5, [0, 0.5, 0, 0]),  # 0.5 reaches 0.5
        (0.51, [0, 0.5, 0.25, 0]),
        (0.75, [0, 0.5, 0.25, 0]),
        (0.8, [0.125, 0.5, 0.25, 0]),  # of two equal ones the first
        (1.0, [0.125, 0.5, 0.25, 0.125]),
    ],
)
def test_top_p_keeps_the_fewest_likeliest_tokens_that_reach_it(top_p: float, kept: list[float]) -> None:
    assert nucleus(row(0.125, 0.5, 0.25, 0.125), one(top_p))[0].tolist() == kept


def test_a_row_with_top_p_1_keeps_its_rarest_token_beside_one_that_cuts() -> None:
    rounded_up = [0.6000001, 0.4, 1e-9]  # the first two already exceed 1
    given = torch.tensor([rounded_up, rounded_up])
    kept = nucleus(given, torch.tensor([1.0, 0.5]))
    assert torch.equal(kept[0], given[0])
    assert kept[1].count_nonzero() == 1


@pytest.mark.parametrize(("uniform", "token"), [(0.0, 1), (0.199, 1), (0.2, 2), (0.699, 2), (0.7, 4), (1 - 2**-53, 4)])
def test_a_draw_inverts_the_cumulated_weights(uniform: float, token: int) -> None:
    # weights 0, 2, 5, 0, 3 of 10: bounds at 0.2 and 0.7; weight 0 is never drawn
    assert draw(row(0.0, 2.0, 5.0, 0.0, 3.0), one(uniform)).tolist() == [token]


def test_temperature_0_takes_the_likeliest_whatever_the_other_rows_do() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0], [0.0, 3.0, 1.0]])
    ids = sample(logits, torch.tensor([0.0, 1.0]), one(1.0).expand(2), torch.tensor([0.0, 0.0], dtype=torch.float64))
    assert ids.tolist() == [1, 0]  # a uniform of 0 draws the first token


def test_drawn_tokens_have_the_frequencies_of_the_cut_distribution() -> None:
    # softmax of ln(1, 2, 4, 8) is 1, 2, 4, 8 of 15; top_p 0.7 keeps 8/15 + 4/15 = 0.8, so 2/3 and 1/3
    count = 30_000
    logits = torch.log(row(1.0, 2.0, 4.0, 8.0)).expand(count, 4)
    uniform = torch.rand(count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ids = sample(logits, torch.ones(count), torch.full((count,), 0.7), uniform)
    shares = (torch.bincount(ids, minlength=4) / count).tolist()
    assert shares == pytest.approx([0, 0, 1 / 3, 2 / 3], abs=0.01)  # 3.7 standard deviations
