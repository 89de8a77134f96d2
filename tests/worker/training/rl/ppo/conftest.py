from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from examples.word_problems import problems
from fettle.datasets.formats.render import Renderer
from fettle.registry.catalog import STARTER

if TYPE_CHECKING:  # the quick tests do without them
    from peft import PeftModel

    from worker.training.rl.ppo.experience import Prompt, ScoreFunction
    from worker.training.rl.ppo.learner import Learner
    from worker.training.rl.ppo.rewards import KLControl

Learning = Callable[..., "Learner"]


@pytest.fixture(scope="session")
def renderer() -> Renderer:
    return Renderer(STARTER)


@pytest.fixture(scope="session")
def prompts(renderer: Renderer) -> "list[Prompt]":
    """Ten, of different lengths."""
    from worker.training.rl.ppo.experience import Prompt

    found = [
        Prompt(row, tuple(renderer.prompt([{"role": "user", "content": problem.question}])))
        for row, problem in enumerate(islice(problems("train", 5), 10))
    ]
    assert len({len(prompt.ids) for prompt in found}) > 3
    return found


@pytest.fixture
def network() -> "PeftModel":
    from tests.worker.training.networks import adapted

    torch.set_num_threads(1)
    return adapted(Path(STARTER), lora_dropout=0.1)


@pytest.fixture(scope="session")
def reasons(renderer: Renderer) -> "ScoreFunction":
    """1 for a completion that begins with <think>."""

    def score(prompts: "Sequence[Prompt]", completions: Sequence[Sequence[int]]) -> list[float | None]:
        return [float(renderer.decode(list(ids)).startswith("<think>")) for ids in completions]

    return score


@pytest.fixture
def learning(renderer: Renderer, prompts: "list[Prompt]", reasons: "ScoreFunction") -> Learning:
    from worker.training.rl.ppo.learner import Learner, Settings
    from worker.training.rl.ppo.rewards import AdaptiveKL
    from worker.training.rl.sampling.completions import Sampling

    def made(
        network: "PeftModel", score: "ScoreFunction" = reasons, kl: "KLControl | None" = None, **fields: Any
    ) -> Learner:
        settings = Settings(
            seed=11,
            sampling=Sampling(24, frozenset({renderer.eos_id}), renderer.pad_id),
            prompts=4,
            group_size=2,
            minibatch_size=4,
            rows_at_once=4,
            epochs=2,
            learning_rate=1e-3,
        )
        return Learner(network, prompts, score, replace(settings, **fields), kl or AdaptiveKL(0.05, target=2.0))

    return made
