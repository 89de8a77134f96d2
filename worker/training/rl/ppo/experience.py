"""One batch of rollouts: what was written, what it scored, and what each token of it is worth."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Protocol

import torch
from torch import Tensor

from worker.training.rl.ppo import advantages, rewards
from worker.training.rl.ppo.policy import PolicyOutput, Sequences
from worker.training.rl.sampling.completions import Completions


@dataclass(frozen=True)
class Prompt:
    """row: its place in the training file, by which whoever scores finds what belongs to it."""

    row: int
    ids: tuple[int, ...]


class ScoreFunction(Protocol):
    """How good each completion is. prompts: one a completion. None, or NaN, for one that could not be scored."""

    def __call__(self, prompts: Sequence[Prompt], completions: Sequence[Sequence[int]]) -> Sequence[float | None]: ...


@dataclass(frozen=True)
class PPORollout:
    """kl: nats of the whole completion. advantage: mean of its tokens, as the update takes it. score None: unscored."""

    prompt: Prompt
    completion: tuple[int, ...]
    score: float | None
    reward: float
    advantage: float
    kl: float
    ended: bool


@dataclass(frozen=True)
class Experience:
    """All that an update needs. mask_BT leaves out rollouts without a score."""

    sequences: Sequences
    mask_BT: Tensor
    old: PolicyOutput
    advantages_BT: Tensor
    returns_BT: Tensor
    rollouts: tuple[PPORollout, ...]
    kl: float  # nats a completion, mean
    metrics: dict[str, float]


@dataclass(frozen=True)
class Worth:
    """gamma 1: a completion's end is as good as its beginning. lam: Schulman et al. 2017 take 0.95."""

    gamma: float = 1.0
    lam: float = 0.95
    missing_eos_penalty: float = 1.0


def judged(
    prompts: Sequence[Prompt],
    completions: Completions,
    scores: Sequence[float | None],
    sequences: Sequences,
    old: PolicyOutput,
    reference_logprobs_BT: Tensor,
    coefficient: float,
    worth: Worth,
) -> Experience:
    """prompts, scores: one a completion. coefficient: β, the price of a nat."""
    device, mask_BT = completions.mask_BT.device, completions.mask_BT
    scored = [score is not None and math.isfinite(score) for score in scores]
    scored_B = torch.tensor(scored, device=device)
    known = [score if score is not None and ok else 0.0 for score, ok in zip(scores, scored, strict=True)]
    scores_B = torch.tensor(known, device=device)
    mask_BT = mask_BT & scored_B[:, None]
    kl_BT = rewards.kl_k1(old.logprobs_BT, reference_logprobs_BT, mask_BT)
    k3_BT = rewards.kl_k3(old.logprobs_BT, reference_logprobs_BT, mask_BT)
    earned_B = rewards.penalised(scores_B, completions.ended_B, worth.missing_eos_penalty)
    rewards_BT = rewards.token_rewards(earned_B, kl_BT, mask_BT, coefficient)
    raw_BT, returns_BT = advantages.gae(rewards_BT, old.values_BT, mask_BT, worth.gamma, worth.lam)
    advantages_BT = advantages.whitened(raw_BT, mask_BT)
    count = max(1, sum(scored))
    kl = float(kl_BT.sum()) / count
    lengths = completions.mask_BT.sum(-1)
    good = [float(score) for score, ok in zip(scores, scored, strict=True) if ok and score is not None]
    metrics = {
        "reward": fmean(good) if good else 0.0,
        "reward_std": pstdev(good) if good else 0.0,
        "kl": kl,
        "kl_k3": float(k3_BT.sum()) / count,
        "kl_coefficient": coefficient,
        "objective": float(rewards_BT.sum()) / count,
        "entropy": float(advantages.masked_mean(old.entropy_BT, mask_BT)),
        "explained_variance": advantages.explained_variance(old.values_BT, returns_BT, mask_BT),
        "completion_length": float(lengths.float().mean()),
        "share_ended": float(completions.ended_B.float().mean()),
        "share_unscored": 1 - sum(scored) / len(scored),
    }
    mean_B = advantages_BT.sum(-1) / mask_BT.sum(-1).clamp(min=1)
    rollouts = tuple(
        PPORollout(prompt, tuple(ids), score if ok else None, reward, advantage, nats, ended)
        for prompt, ids, score, ok, reward, advantage, nats, ended in zip(
            prompts,
            completions.rows(),
            scores,
            scored,
            earned_B.tolist(),
            mean_B.tolist(),
            kl_BT.sum(-1).tolist(),
            completions.ended_B.tolist(),
            strict=True,
        )
    )
    return Experience(sequences, mask_BT, old, advantages_BT, returns_BT, rollouts, kl, metrics)
