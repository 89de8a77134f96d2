"""pass@k: how likely one of k completions is right."""

import math
from collections.abc import Sequence


def of_prompt(n: int, c: int, k: int) -> float:
    """The unbiased estimate 1 − C(n − c, k) ÷ C(n, k) (Chen et al. 2021, equation 1).

    n: completions of the prompt, at least k. c: how many of them are right.
    """
    if not 0 < k <= n or not 0 <= c <= n:
        raise ValueError(f"pass@{k} cannot be estimated from {c} right of {n} completions")
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def mean(groups: Sequence[tuple[int, int]], k: int) -> float | None:
    """groups: (n, c) of each prompt. Prompts with fewer than k completions do not count; None: all are such."""
    found = [of_prompt(n, c, k) for n, c in groups if n >= k]
    return sum(found) / len(found) if found else None
