"""Completions for a trainer of TRL's, drawn by `complete` in the place of `generate`: a prompt is read once.

A completion's seed is made of the run's seed, the step and its place in the batch: a resumed run, and several ranks
together, draw what a single undisturbed process does.
"""

import hashlib
import math
from collections.abc import Sequence

from peft import PeftModel

from worker.training.rl.sampling.completions import Sampling, Watch, complete


def draw(
    network: PeftModel,
    prompts_B: Sequence[list[int]],
    group_size: int,
    seeds_B: Sequence[int],
    sampling: Sampling,
    watch: Watch | None = None,
) -> list[list[int]]:
    """A completion's tokens for each of B prompts, of which a group's stand side by side.

    B holds this rank's share of the groups, whose outer ones may be cut: what divides B and a group is whole.
    """
    copies = math.gcd(len(prompts_B), group_size)
    return complete(network, prompts_B[::copies], seeds_B, sampling, watch).rows()


def derived(seed: int, *path: str | int) -> int:
    """A seed of its own for everything that is drawn: 63 bits that depend on all of `path`."""
    digest = hashlib.blake2b(repr((seed, *path)).encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1
