"""Completions for TRL's trainers, drawn through our cache: a seed each, groups whole or cut by ranks."""

from pathlib import Path

import pytest
import torch
from peft import PeftModel

from fettle.datasets.formats.render import Renderer
from fettle.registry.catalog import STARTER
from tests.worker.training.networks import adapted
from worker.training.rl.sampling.completions import Sampling, complete
from worker.training.rl.sampling.drawing import derived, draw

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


def test_a_group_answers_its_own_prompt(network: PeftModel, sampling: Sampling, prompts: list[list[int]]) -> None:
    seeds = [derived(3, row) for row in range(8)]
    drawn = draw(network, [prompts[0]] * 4 + [prompts[1]] * 4, 4, seeds, sampling)
    assert drawn == complete(network, prompts, seeds, sampling).rows()
    assert len({tuple(row) for row in drawn}) > 2


def test_a_rank_that_holds_a_part_of_a_group_draws_for_that_part(
    network: PeftModel, sampling: Sampling, prompts: list[list[int]]
) -> None:
    """The second of two ranks that share three groups of four: half of the second group, and the third."""
    seeds = [derived(3, row) for row in range(6)]
    drawn = draw(network, [prompts[0]] * 2 + [prompts[1]] * 4, 4, seeds, sampling)
    assert drawn[:2] == complete(network, prompts[:1], seeds[:2], sampling).rows()
    assert drawn[2:] == complete(network, prompts[1:], seeds[2:], sampling).rows()


def test_every_step_and_place_has_a_seed_of_its_own() -> None:
    found = {derived(seed, "completion", step, row) for seed in (1, 2) for step in (1, 2) for row in range(4)}
    assert len(found) == 16
    assert all(0 <= seed < 2**63 for seed in found)
