"""What a policy's completions of held-out prompts are worth to the graders: validation, and base against tuned."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from datasets import Dataset
from peft import PeftModel

from fettle.datasets.formats.render import Renderer
from worker.engine.grammar import Grammar
from worker.training.distributed import ranks
from worker.training.process.channel import Channel
from worker.training.rl.episodes import Episode, play
from worker.training.rl.rollouts import Judge, Rollout, Scored
from worker.training.rl.sampling.completions import Sampling, complete
from worker.training.rl.tools import Toolset

PROMPTS_AT_ONCE = 64
PROMPTS_AT_MOST = 512  # of the validation file, the first
SAMPLES_SHOWN = 8


@dataclass(frozen=True)
class Judged:
    """Means over the completions that have a reward; None where none has. rewards: by grader's name. length_mean:
    tokens. unjudged: completions without a reward."""

    reward_mean: float | None
    rewards: dict[str, float | None]
    length_mean: float
    failed: float
    unjudged: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "reward_mean": self.reward_mean,
            "rewards": self.rewards,
            "completion_length_mean": self.length_mean,
            "grader_errors": self.failed,
        }


@dataclass(frozen=True)
class RewardEvaluation:
    """Draws nothing from torch's own generator."""

    network: PeftModel
    renderer: Renderer
    ends: frozenset[int]
    max_tokens: int
    temperature: float
    channel: Channel
    judge: Judge
    grammar: Grammar | None = None
    tools: Toolset | None = None

    def validate(self, dataset: Dataset, step: int, samples: int) -> Judged | None:
        """Every rank takes every n-th prompt. One completion a prompt is greedy, several are sampled. None: a stop."""
        rows = list(range(min(len(dataset), PROMPTS_AT_MOST)))
        turns = -(-len(rows) // (PROMPTS_AT_ONCE * ranks.count()))
        own = rows[ranks.number() :: ranks.count()]
        rollouts: list[Rollout] = []
        for turn in range(turns):
            chunk = own[turn * PROMPTS_AT_ONCE : (turn + 1) * PROMPTS_AT_ONCE]
            rollouts += self.complete(dataset, chunk, samples)
            if self.channel.stop.is_set():
                return None
        lengths = ranks.gathered(lengths_of(rollouts))
        return judged(lengths, self.judge.score(rollouts, step, "validation"))

    def compare(self, dataset: Dataset, step: int, more: dict[str, float] | None = None) -> None:
        """Sends `evaluation`: base and tuned, greedily, by the first rank alone. Raises Stopped.

        more: figures of the tuned one.
        """
        rows = range(min(len(dataset), PROMPTS_AT_MOST))
        tuned = self.all_of(dataset, rows)
        with self.network.disable_adapter():
            base = self.all_of(dataset, rows)
        values = [self.judge.score_alone(rollouts, step) for rollouts in (base, tuned)]
        samples = [
            {
                "prompt": before.messages,
                "base": before.completion,
                "tuned": after.completion,
                "base_reward": values[0].rewards[row],
                "tuned_reward": values[1].rewards[row],
                "base_scores": {name: each[row] for name, each in values[0].scores.items()},
                "tuned_scores": {name: each[row] for name, each in values[1].scores.items()},
            }
            for row, (before, after) in enumerate(zip(base[:SAMPLES_SHOWN], tuned, strict=False))
        ]
        data = {
            "step": step,
            "rows": len(rows),
            "rows_in_file": len(dataset),
            "base": judged(lengths_of(base), values[0]).to_json(),
            "tuned": judged(lengths_of(tuned), values[1]).to_json() | (more or {}),
            "samples": samples,
        }
        self.channel.send("evaluation", data=data)

    def all_of(self, dataset: Dataset, rows: Sequence[int]) -> list[Rollout]:
        found: list[Rollout] = []
        for first in range(0, len(rows), PROMPTS_AT_ONCE):
            self.channel.heed_stop()
            found += self.complete(dataset, rows[first : first + PROMPTS_AT_ONCE], 1, alone=True)
        return found

    def complete(self, dataset: Dataset, rows: Sequence[int], samples: int, *, alone: bool = False) -> list[Rollout]:
        """alone: by the first rank, while the others wait."""
        if not rows and self.tools is None:  # with tools, all ranks call them together
            return []
        lines = [dataset[row] for row in rows]
        prompts = [self.renderer.tokenizer.encode(line["prompt"], add_special_tokens=False).ids for line in lines]
        messages, items = ([json.loads(line[name]) for line in lines] for name in ("messages", "item"))
        temperature = self.temperature if samples > 1 else 0.0
        sampling = Sampling(self.max_tokens, self.ends, self.renderer.pad_id, temperature, grammar=self.grammar)
        seeds = [row * samples + sample for row in rows for sample in range(samples)]
        groups = [(place, rows[place]) for place in range(len(rows)) for _ in range(samples)]
        if self.tools is not None:
            episodes = [
                Episode(messages[place], prompts[place], seed) for (place, _), seed in zip(groups, seeds, strict=True)
            ]
            play(self.network, episodes, samples, sampling, self.tools, alone=alone)
            return [episode.rollout(row, items[place]) for (place, row), episode in zip(groups, episodes, strict=True)]
        said = complete(self.network, prompts, seeds, sampling)
        return [
            Rollout(
                group=row,
                messages=messages[place],
                item=items[place],
                completion=self.renderer.decode(ids).replace("\0", ""),  # PostgreSQL's JSON knows no NUL
                tokens=len(ids),
                stop_reason="stop" if ids[-1] in self.ends else "length",
                ids=(*prompts[place], *ids),
            )
            for (place, row), ids in zip(groups, said.rows(), strict=True)
        ]


def lengths_of(rollouts: Sequence[Rollout]) -> list[int]:
    return [rollout.tokens for rollout in rollouts]


def judged(lengths: Sequence[int], found: Scored) -> Judged:
    """lengths: tokens of each completion."""
    return Judged(
        reward_mean=mean(found.rewards),
        rewards={name: mean(values) for name, values in found.scores.items()},
        length_mean=float(numpy.mean(lengths)) if lengths else 0.0,
        failed=found.failed,
        unjudged=sum(reward is None for reward in found.rewards),
    )


def mean(values: Sequence[float | None]) -> float | None:
    """Of those that are known."""
    known = [value for value in values if value is not None]
    return float(numpy.mean(known)) if known else None
