"""A reward model as the judge of completions, in the training process itself."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean, pstdev

from worker.training.distributed import ranks
from worker.training.model.reward_adapter import NAME, Files, RewardAdapter
from worker.training.process.channel import Channel
from worker.training.rl.rollouts import Purpose, Rollout, Scored
from worker.training.rl.sampling.progress import Progress

SMALLEST_SPREAD = 1e-6
STATE = "policy.json"  # in a checkpoint of the policy


@dataclass(frozen=True)
class Scale:
    """What a score is measured in: the spread of the start policy's scores, from their mean.

    Comparisons leave a reward model's zero and unit open; only with both fixed does a coefficient of the KL mean the
    same for every reward model (Ziegler et al. 2019, section 2: mean 0 and variance 1 for completions of ρ).
    """

    mean: float
    std: float

    @classmethod
    def of(cls, scores: Sequence[float]) -> "Scale":
        spread = pstdev(scores)
        return cls(fmean(scores), spread if spread > SMALLEST_SPREAD else 1.0)

    def reward(self, score: float) -> float:
        return (score - self.mean) / self.std


@dataclass(frozen=True)
class Before:
    """What the job has done before this phase."""

    steps: int
    tokens: int


@dataclass(frozen=True)
class Carried:
    """What every checkpoint of the policy carries, so that a run goes on from it alone.

    A reward model that the job has trained itself is carried too: one that it was given is fetched again.
    """

    before: Before
    scale: Scale
    files: Files

    def put_into(self, checkpoint: Path) -> None:
        known = {"before": asdict(self.before), "scale": asdict(self.scale)}
        (checkpoint / STATE).write_text(json.dumps(known))
        if self.before.steps:
            self.files.put_into(checkpoint)


def scale_in(checkpoint: Path) -> Scale:
    return Scale(**json.loads((checkpoint / STATE).read_text())["scale"])


class RewardModelJudge:
    """Scores become rewards by `scale`; to train on, a completion that was cut off loses `missing_eos_penalty`."""

    def __init__(self, adapter: RewardAdapter, carried: Carried, channel: Channel, missing_eos_penalty: float) -> None:
        self.adapter, self.carried, self.channel, self.penalty = adapter, carried, channel, missing_eos_penalty
        self.last: tuple[list[Rollout], Scored] | None = None

    def score(self, rollouts: Sequence[Rollout], step: int, purpose: Purpose, seconds: float | None = None) -> Scored:
        self.channel.heed_stop()
        own = self.judge(rollouts, self.penalty if purpose == "train" else 0.0)
        found = replace(own, rewards=ranks.gathered(own.rewards), scores={NAME: ranks.gathered(own.scores[NAME])})
        if purpose == "train":
            self.last = ranks.gathered(rollouts), found
        return found

    def score_alone(self, rollouts: Sequence[Rollout], step: int) -> Scored:
        return self.judge(rollouts, 0.0)

    def judge(self, rollouts: Sequence[Rollout], penalty: float) -> Scored:
        began = time.monotonic()
        scores = self.adapter.scores([rollout.ids for rollout in rollouts], Progress(self.channel, "scoring"))
        rewards: list[float | None] = [
            self.carried.scale.reward(score) - penalty * (rollout.stop_reason != "stop")
            for rollout, score in zip(rollouts, scores, strict=True)
        ]
        return Scored(rewards, {NAME: [*scores]}, 1, time.monotonic() - began)

    @property
    def last_scored(self) -> Scored | None:
        return self.last[1] if self.last else None

    def stored(self, step: int, advantages: Sequence[float], kl: Sequence[float] | None) -> None:
        assert self.last is not None  # noqa: S101 — they were scored
        rollouts, found = self.last
        lines = [
            {
                **rollout.to_json(),
                "reward": found.rewards[row],
                "scores": {NAME: found.scores[NAME][row]},
                "advantage": advantages[row],
                "kl": kl[row] if kl else None,
            }
            for row, rollout in enumerate(rollouts)
        ]
        self.channel.send("rollouts", step=step, rollouts=lines)
