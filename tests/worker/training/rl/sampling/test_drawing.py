"""Completions for TRL's trainers, drawn through our cache: seeds of torch's generator, groups whole or cut by ranks."""

from pathlib import Path

import pytest
import torch
from peft import PeftModel

from fettle.datasets.formats.render import Renderer
from fettle.registry.catalog import STARTER
from tests.worker.training.networks import adapted
from worker.training.rl.sampling import drawing
from worker.training.rl.sampling.completions import Sampling, complete

pytestmark = pytest.mark.slow  # transformers and peft take seconds to import

QUESTIONS = ("Tom has 12 pens. Tom buys 7 more. How many pens does Tom have?", "There are 40 eggs. Ida takes 9.")


@pytest.fixture(scope="module")
def network() -> PeftModel:
    torch.set_num_threads(1)
    return adapted(Path(STARTER), loud=0.1).eval()


@pytest.fixture(scope="module")
def sampling() -> Sampling:
    renderer = Renderer(STARTER)
    return Sampling(12, frozenset({renderer.eos_id}), renderer.pad_id)


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    renderer = Renderer(STARTER)
    return [renderer.prompt([{"role": "user", "content": question}]) for question in QUESTIONS]


def seeds(count: int) -> list[int]:
    return torch.randint(drawing.LARGEST_SEED, (count,)).tolist()


def test_a_group_answers_its_own_prompt(network: PeftModel, sampling: Sampling, prompts: list[list[int]]) -> None:
    torch.manual_seed(3)
    drawn = drawing.draw(network, [prompts[0]] * 4 + [prompts[1]] * 4, 4, sampling)
    torch.manual_seed(3)
    expected = complete(network, prompts, seeds(8), sampling).rows()
    assert drawn == expected
    assert len({tuple(row) for row in drawn}) > 2


def test_a_rank_that_holds_a_part_of_a_group_draws_for_that_part(
    network: PeftModel, sampling: Sampling, prompts: list[list[int]]
) -> None:
    """The second of two ranks that share three groups of four: half of the second group, and the third."""
    torch.manual_seed(3)
    drawn = drawing.draw(network, [prompts[0]] * 2 + [prompts[1]] * 4, 4, sampling)
    torch.manual_seed(3)
    drawn_from = seeds(6)
    assert drawn[:2] == complete(network, prompts[:1], drawn_from[:2], sampling).rows()
    assert drawn[2:] == complete(network, prompts[1:], drawn_from[2:], sampling).rows()


def test_the_same_random_state_draws_the_same_and_moves_on(
    network: PeftModel, sampling: Sampling, prompts: list[list[int]]
) -> None:
    state = torch.get_rng_state()
    first = drawing.draw(network, [prompts[0]] * 4, 4, sampling)
    assert drawing.draw(network, [prompts[0]] * 4, 4, sampling) != first
    torch.set_rng_state(state)
    assert drawing.draw(network, [prompts[0]] * 4, 4, sampling) == first


def test_layers_without_keys_and_values_are_left_to_trl(network: PeftModel, monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawing.possible(network)
    config = network.get_base_model().config  # type: ignore[operator]
    monkeypatch.setattr(config, "layer_types", ["linear_attention", "full_attention"] * 2)
    assert not drawing.possible(network)
