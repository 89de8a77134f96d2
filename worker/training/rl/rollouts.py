"""Completions on their way to whoever judges them, and back: what the methods that learn from rewards share."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from accelerate.utils import broadcast_object_list

from worker.training.distributed import ranks
from worker.training.process.channel import Channel, Stopped


@dataclass(frozen=True)
class Rollout:
    """One completion as the scorer and the stored rollout see it. tokens: its length; group: its prompt's number.

    ids: of the prompt and the completion, for a judge in this process. turns: of a rollout with tools, every message
    after the prompt; its completion is the last one's text, and its tokens are the model's own.
    """

    group: int
    messages: list[dict[str, Any]]
    item: dict[str, Any]
    completion: str
    tokens: int
    stop_reason: str  # "stop", "length", or "tool_calls" where no turn was left to answer one
    ids: tuple[int, ...] = ()
    turns: Sequence[dict[str, Any]] = ()

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "ids"}


def cut_off(rollouts: Sequence[Rollout]) -> float:
    """The share of all ranks' rollouts that found no room.

    The last token does not tell: it ends a turn also where there was no room for what a tool returned.
    """
    reasons = ranks.gathered([rollout.stop_reason for rollout in rollouts])
    return reasons.count("length") / len(reasons)


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


Purpose = Literal["train", "validation"]


class Judge(Protocol):
    """Who says what completions are worth."""

    def score(self, rollouts: Sequence[Rollout], step: int, purpose: Purpose, seconds: float | None = None) -> Scored:
        """Of one rank's completions, those of all ranks. A step that all ranks take together. Raises Stopped.

        seconds: that it took to generate them, where that was measured.
        """

    def score_alone(self, rollouts: Sequence[Rollout], step: int) -> Scored:
        """As `score`, for validation, by the first rank while the others wait for its end. Raises Stopped."""

    def stored(self, step: int, advantages: Sequence[float], kl: Sequence[float] | None) -> None:
        """Has the completions stored that were scored last, to train on. kl: nats of each."""


@dataclass(frozen=True)
class Scorer:
    """The job's scorer process, at the supervisor's end of the line."""

    channel: Channel

    def score(self, rollouts: Sequence[Rollout], step: int, purpose: Purpose, seconds: float | None = None) -> Scored:
        everyones = ranks.gathered(rollouts)
        answer: list[Scored | None] = [None]
        if ranks.first():
            with contextlib.suppress(Stopped):
                answer = [self.ask(everyones, step, purpose, seconds)]
        if ranks.count() > 1:
            broadcast_object_list(answer)
        if answer[0] is None:
            raise Stopped
        return answer[0]

    def score_alone(self, rollouts: Sequence[Rollout], step: int) -> Scored:
        return self.ask(rollouts, step, "validation")

    def stored(self, step: int, advantages: Sequence[float], kl: Sequence[float] | None) -> None:
        self.channel.send("rollouts", step=step, advantages=list(advantages), kl=kl and list(kl))

    def ask(self, rollouts: Sequence[Rollout], step: int, purpose: Purpose, seconds: float | None = None) -> Scored:
        lines = [rollout.to_json() for rollout in rollouts]
        stop = ranks.own(self.channel.stop)
        heard = self.channel.ask("score", stop, step=step, purpose=purpose, rollouts=lines, seconds=seconds)
        return Scored(heard["rewards"], heard["scores"], heard["version"], heard["seconds"])
