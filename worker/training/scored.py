"""Completions on their way to the scorer and back: what the methods that learn from rewards share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from accelerate.utils import broadcast_object_list, gather_object

from worker.training import ranks
from worker.training.channel import Channel, Stopped


@dataclass(frozen=True)
class Rollout:
    """One completion as the scorer and the stored rollout see it. tokens: its length; group: its prompt's number."""

    group: int
    messages: list[dict[str, Any]]
    item: dict[str, Any]
    completion: str
    tokens: int
    stop_reason: str  # "stop" or "length"

    def to_json(self) -> dict[str, Any]:
        return dict(self.__dict__)


@dataclass(frozen=True)
class Scored:
    """The scorer's word on a batch, in its order.

    rewards: None where a grader failed. scores: by grader's name. version: of the rewards. seconds: that it took.
    """

    rewards: list[float | None]
    scores: dict[str, list[float | None]]
    version: int
    seconds: float

    @property
    def failed(self) -> float:
        """The share of completions without a reward."""
        return sum(reward is None for reward in self.rewards) / max(1, len(self.rewards))


def score(
    rollouts: Sequence[Rollout], step: int, purpose: str, channel: Channel, seconds: float | None = None
) -> Scored:
    """Scores one rank's completions. A step that all ranks take together. Raises Stopped.

    purpose: "train" has them stored, once a line `rollouts` has told the advantages; "validation" does not.
    seconds: that it took to generate them, where that was measured.
    """
    gathered = gather_object(list(rollouts)) if ranks.count() > 1 else list(rollouts)
    answer: list[Scored | None] = [None]
    if ranks.first():
        try:
            lines = [rollout.to_json() for rollout in gathered]
            heard = channel.ask(
                "score", ranks.own(channel.stop), step=step, purpose=purpose, rollouts=lines, seconds=seconds
            )
            answer = [Scored(heard["rewards"], heard["scores"], heard["version"], heard["seconds"])]
        except Stopped:
            pass
    if ranks.count() > 1:
        broadcast_object_list(answer)
    if answer[0] is None:
        raise Stopped
    return answer[0]


def score_alone(rollouts: Sequence[Rollout], step: int, channel: Channel) -> Scored:
    """As `score`, by the first rank while the others wait for its end. Raises Stopped."""
    lines = [rollout.to_json() for rollout in rollouts]
    heard = channel.ask("score", ranks.own(channel.stop), step=step, purpose="validation", rollouts=lines)
    return Scored(heard["rewards"], heard["scores"], heard["version"], heard["seconds"])
