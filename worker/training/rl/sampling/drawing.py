"""Completions for a trainer of TRL's, drawn through our cache in the place of `generate`: a prompt is read once.

Their seeds come from torch's generator, whose state a checkpoint holds: a resumed run draws what an undisturbed one
does.
"""

import math
from collections.abc import Sequence

import torch
from peft import PeftModel

from worker.engine import masks
from worker.training.rl.sampling.completions import Sampling, Watch, base_of, complete

LARGEST_SEED = 2**63 - 1


def possible(network: PeftModel) -> bool:
    """Whether all layers keep their past as keys and values; for others TRL's `generate` has to do."""
    return masks.foreign_kind(base_of(network).config.get_text_config()) is None


def draw(
    network: PeftModel,
    prompts_B: Sequence[list[int]],
    group_size: int,
    sampling: Sampling,
    watch: Watch | None = None,
) -> list[list[int]]:
    """A completion's tokens for each of B prompts, of which a group's stand side by side.

    B holds this rank's share of the groups, whose outer ones may be cut: what divides B and a group is whole.
    """
    copies = math.gcd(len(prompts_B), group_size)
    seeds_B = torch.randint(LARGEST_SEED, (len(prompts_B),)).tolist()
    return complete(network, prompts_B[::copies], seeds_B, sampling, watch).rows()
