"""Rollouts with tools: turns of the policy, and between them what its tools return, until it answers."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from peft import PeftModel

from fettle.errors import TrainingFailed
from worker.training.rl.rollouts import Rollout
from worker.training.rl.sampling import drawing
from worker.training.rl.sampling.completions import Sampling, Watch, complete
from worker.training.rl.tools import CALLS_AT_MOST, TOO_MANY, UNSHOWABLE, Message, Toolset


@dataclass
class Episode:
    """ids: what follows the prompt. own: which of them the policy wrote; what tools said is neither learned nor part of
    the KL. turns: every message after the prompt.
    """

    messages: Sequence[Message]
    prompt: Sequence[int]
    seed: int
    ids: list[int] = field(default_factory=list)
    own: list[bool] = field(default_factory=list)
    turns: list[Message] = field(default_factory=list)
    stop_reason: str = ""
    calls: int = 0
    failures: int = 0

    @property
    def going(self) -> bool:
        return not self.stop_reason

    @property
    def open_calls(self) -> list[dict[str, Any]]:
        return list(self.turns[-1].get("tool_calls", ())) if self.going else []

    @property
    def completion(self) -> str:
        """The last turn's text."""
        return str(self.turns[-1]["content"] or "") if self.turns else ""

    @property
    def tokens(self) -> int:
        """That the policy wrote."""
        return sum(self.own)

    def rollout(self, group: int, item: dict[str, Any]) -> Rollout:
        return Rollout(
            group=group,
            messages=list(self.messages),
            item=item,
            completion=self.completion,
            tokens=self.tokens,
            stop_reason=self.stop_reason,
            ids=(*self.prompt, *self.ids),
            turns=self.turns,
        )

    def speak(self, ids: Sequence[int], tools: Toolset) -> None:
        """Adds a turn of the policy."""
        self.ids += ids
        self.own += [True] * len(ids)
        self.turns.append(tools.read(ids, len(self.turns)))
        if ids[-1] not in tools.ends:
            self.stop_reason = "length"
        elif not self.turns[-1].get("tool_calls"):
            self.stop_reason = "stop"

    def hear(self, results: Sequence[dict[str, Any]], tools: Toolset, room: int) -> None:
        """Adds what the tools returned. room: tokens of an episode; where it is full, the episode ends unheard."""
        turn = self.turns[-1]
        self.calls += len(results)
        self.failures += sum(result["failed"] for result in results)
        answers = [
            {"role": "tool", "tool_call_id": call["id"], "content": result["text"]}
            for call, result in zip(turn["tool_calls"], results, strict=True)
        ]
        try:
            ids = tools.ids_of(self.messages, turn, answers)
        except TrainingFailed:  # the tokenizer cannot write what a tool said
            answers = [{**answer, "content": UNSHOWABLE} for answer in answers]
            ids = tools.ids_of(self.messages, turn, answers)
        if len(self.ids) + len(ids) >= room:
            self.stop_reason = "length"
            return
        self.ids += ids
        self.own += [False] * len(ids)
        self.turns += answers


def play(
    network: PeftModel,
    episodes: Sequence[Episode],
    copies: int,
    sampling: Sampling,
    tools: Toolset,
    watch: Watch | None = None,
    *,
    alone: bool = False,
) -> None:
    """Takes each episode to its end. copies: episodes of one prompt, side by side.

    alone: by this rank, while the others wait; else all ranks take part, also with no episodes of their own.
    A turn's seed depends on the episode's and the turn's number. Raises Stopped.
    """
    for turn in range(tools.max_turns):
        going = [episode for episode in episodes if episode.going]
        if going:
            room = max(sampling.max_tokens - len(episode.ids) for episode in going)
            if turn == 0:
                prompts, seeds = [episode.prompt for episode in going[::copies]], [episode.seed for episode in going]
            else:
                prompts = [[*episode.prompt, *episode.ids] for episode in going]
                seeds = [drawing.derived(episode.seed, "turn", turn) for episode in going]
            drawn = complete(network, prompts, seeds, replace(sampling, max_tokens=room), watch).rows()
            for episode, ids in zip(going, drawn, strict=True):
                episode.speak(ids[: sampling.max_tokens - len(episode.ids)], tools)
        if turn == tools.max_turns - 1:
            break
        calls = [call["function"] for episode in going for call in episode.open_calls[:CALLS_AT_MOST]]
        results = tools.carry_out(calls, alone=alone)
        if results is None:
            break
        given = iter(results)
        for episode in going:
            if opened := episode.open_calls:
                heard = [next(given) if place < CALLS_AT_MOST else TOO_MANY for place in range(len(opened))]
                episode.hear(heard, tools, sampling.max_tokens)
    for episode in episodes:
        episode.stop_reason = episode.stop_reason or "tool_calls"
