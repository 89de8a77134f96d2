"""Trainers that compare a prompt's completions with each other: what GRPO's and RLOO's share.

TRL generates and takes the step; a judge gives the rewards. One update is made from each batch of completions, so
that every step is a generation boundary and a checkpoint taken after it is gone on from exactly.
"""

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, pstdev
from typing import Any, ClassVar, cast

import numpy
import torch
from datasets import Dataset
from peft import PeftModel
from trl.trainer.utils import RepeatSampler

from fettle.datasets.formats.render import Renderer
from worker.engine.grammar import Grammar
from worker.training import trainer
from worker.training.process.job_spec import Work
from worker.training.rl.episodes import Episode
from worker.training.rl.evaluation import Judged, RewardEvaluation
from worker.training.rl.rollouts import Judge, Rollout, cut_off
from worker.training.rl.sampling import drawing
from worker.training.rl.sampling.completions import Sampling
from worker.training.rl.sampling.progress import Progress
from worker.training.rl.tools import Toolset
from worker.training.trainer import Interruptible, Metrics

# the trainer's names → ours; those of each reward function keep theirs: rewards/<name>/mean
TRAINING = {
    **trainer.TRAINING,
    "num_tokens": "tokens",
    "reward": "train_reward_mean",
    "batch_reward_std": "train_reward_std",
    "group_reward_std": "reward_std",
    "kl": "kl",
    "entropy": "entropy",
    "clip_ratio/region_mean": "clip_fraction",
    "cispo_clip_ratio": "clip_fraction",
    "completions/mean_length": "completion_length_mean",
    "completions/max_length": "completion_length_max",
    "completions/clipped_ratio": "completions_cut_off",
    "equal_groups": "zero_spread_groups",
    "grader_errors": "grader_errors",
    "unjudged": "unjudged",
    "generation_seconds": "generation_seconds",
    "scoring_seconds": "scoring_seconds",
}


SMALLEST_SPREAD = 1e-6  # of rewards; what is below is rounding
EQUAL = 1e-6  # a smaller spread is rounding


class EpochSampler(RepeatSampler):
    """TRL's, whose order in an epoch depends on the seed and the epoch alone, so that a resumed run meets it again."""

    def set_epoch(self, epoch: int) -> None:
        self.generator.manual_seed((self.seed or 0) + epoch)


class GroupTrainer(Interruptible):
    """TRL's trainer comes after it: `class GRPO(GroupTrainer, GRPOTrainer)`. The members without a value are TRL's."""

    judge: Judge
    grammar: Grammar | None = None  # what completions are held to while they are sampled
    toolset: Toolset | None = None
    num_generations: int
    num_generations_eval: int
    eos_token_ids: list[int]
    max_completion_length: int
    temperature: float
    use_vllm: bool
    _metrics: dict[str, dict[str, list[float]]]
    _logs: dict[str, Any]

    training: ClassVar = TRAINING
    of_a_checkpoint = ("train_loss", "train_reward_mean", "valid_reward_mean")
    judged_by = "valid_reward_mean"
    higher_is_better = True
    no_spread = "the completions of every group got one and the same reward"
    judged_param = "graders"
    nothing_learned = (
        "Only differences within a group teach: try the graders first with POST "
        "/v1/fine_tuning/alpha/graders/run, use one that gives parts of the reward for parts of the answer, raise "
        "temperature or group_size, or choose prompts that the model gets right sometimes."
    )

    def __init__(self, *, renderer: Renderer, make_judge: Callable[["GroupTrainer"], Judge], **options: Any) -> None:
        """make_judge: called when the network is on its device."""
        super().__init__(reward_funcs=[self.reward], **options)
        self.renderer = renderer
        self.judge = make_judge(self)
        self.completions_a_visit = int(self.num_generations or 1)
        self.before: dict[str, Any] | None = None  # what a broken-off step has used up
        self.began = 0.0  # when the newest completions were begun
        self.episodes: list[Episode] = []  # the newest, with tools

    def reward(
        self,
        *,
        prompts: list[str],
        completion_ids: list[list[int]],
        messages: list[str],
        item: list[str],
        **_: Any,
    ) -> list[Any]:
        """TRL's reward function: None where a grader failed; the completion then moves nothing. Raises Stopped."""
        first = self.accelerator.process_index * len(completion_ids)
        rollouts = self.played(first, item) or [
            Rollout(
                group=(first + row) // self.num_generations,
                messages=json.loads(messages[row]),
                item=json.loads(item[row]),
                completion=self.renderer.decode(ids),
                tokens=len(ids),
                stop_reason="stop" if ids[-1] in self.eos_token_ids else "length",
                ids=(*prompt_ids, *ids),
            )
            for row, (prompt_ids, ids) in enumerate(zip(self.encoded(prompts), completion_ids, strict=True))
        ]
        seconds = time.perf_counter() - self.began
        judged = self.judge.score(rollouts, self.state.global_step + 1, "train", seconds)
        self.visits += len(rollouts)
        self.judged_steps += 1
        self.taught_steps += differing(judged.rewards, self.num_generations)
        found = self._metrics["train"]
        found["completions/clipped_ratio"][-1:] = [cut_off(rollouts)]
        for name, values in judged.scores.items():
            known = [value for value in values if value is not None]
            if known:
                found[f"rewards/{name}/mean"].append(float(numpy.mean(known)))
                found[f"rewards/{name}/std"].append(float(numpy.std(known)))
        for name, value in of_groups(judged.rewards, self.num_generations).items():
            found[name].append(value)
        found["grader_errors"].append(judged.failed)
        found["generation_seconds"].append(seconds)
        found["scoring_seconds"].append(judged.seconds)
        return judged.rewards[first : first + len(rollouts)]

    def played(self, first: int, items: Sequence[str]) -> list[Rollout]:
        """This rank's rollouts with tools. first: the number of its first one."""
        return [
            episode.rollout((first + row) // self.num_generations, json.loads(items[row]))
            for row, episode in enumerate(self.episodes)
        ]

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self.began = time.perf_counter()
        state = self.state
        self.before = {"step": state.global_step, "random": random_state(), "tokens": state.num_input_tokens_seen}
        batch: dict[str, Any] = super()._generate_and_score_completions(inputs)  # type: ignore[misc]  # TRL's, which come after this mixin
        advantages = list(self._logs["advantages"])[-len(inputs) * self.accelerator.num_processes :]
        self.keep(batch, advantages)
        return batch

    def keep(self, batch: dict[str, Any], advantages: Sequence[float]) -> None:
        """Has the step's completions stored; where the trainer reckons the KL of each, with it."""
        self.judge.stored(self.state.global_step + 1, advantages, None)

    def seeds(self, count: int) -> list[int]:
        """Of this rank's completions."""
        step, first = self.state.global_step + 1, self.accelerator.process_index * count
        return [drawing.derived(self.args.seed, "completion", step, first + row) for row in range(count)]

    def drawn(self, prompt_ids: list[list[int]]) -> list[list[int]] | None:
        """A completion of each; None where vLLM generates."""
        if self.use_vllm:
            return None
        seeds, network, watch = self.seeds(len(prompt_ids)), cast(PeftModel, self.model), Progress(self.channel)
        return drawing.draw(network, prompt_ids, int(self.num_generations or 1), seeds, self.sampling, watch)

    def encoded(self, prompts: Sequence[str]) -> list[list[int]]:
        tokenizer = self.renderer.tokenizer
        return [list(each.ids) for each in tokenizer.encode_batch(list(prompts), add_special_tokens=False)]

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return self.encoded(prompts), None, {}

    def _get_train_sampler(self, dataset: Dataset | None = None) -> EpochSampler:
        ours = cast(RepeatSampler, super()._get_train_sampler(dataset))
        return EpochSampler(
            ours.data_source, ours.mini_repeat_count, ours.batch_size, ours.repeat_count, ours.shuffle, ours.seed
        )

    def undo(self) -> bool:
        if self.before is None:
            return False
        if self.before["step"] == self.state.global_step:  # else the step was done, and its validation broken off
            restore_random_state(self.before["random"])
            self.state.num_input_tokens_seen = self.before["tokens"]
        return True

    def named(self, logs: Mapping[str, float]) -> Metrics:
        known = {name: value for name, value in logs.items() if value is not None}
        own = {name: value for name, value in known.items() if name.startswith(OWN_NAMES) and name not in TRLS_OWN}
        return super().named(known) | own

    def evaluation(self) -> RewardEvaluation:
        return RewardEvaluation(
            network=cast(PeftModel, self.model),
            renderer=self.renderer,
            ends=self.ends,
            max_tokens=self.longest,
            temperature=self.temperature,
            channel=self.channel,
            judge=self.judge,
            grammar=self.grammar,
            tools=self.toolset,
        )

    def validate(self) -> Metrics | None:
        found = self.evaluation().validate(self.eval_dataset, self.state.global_step, self.eval_samples)
        return None if found is None else judged_metrics(found)

    def compare(self, work: Work, step: int) -> None:
        self.evaluation().compare(self.eval_dataset, step)

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.longest, self.ends, self.renderer.pad_id, self.temperature, grammar=self.grammar)

    @property
    def ends(self) -> frozenset[int]:
        return frozenset(self.eos_token_ids)

    @property
    def longest(self) -> int:
        """Tokens of a completion, at most."""
        return int(self.max_completion_length or 0)

    @property
    def eval_samples(self) -> int:
        return int(self.num_generations_eval or 1)


def differing(rewards: Sequence[float | None], size: int) -> bool:
    """Whether some completions of one group have different rewards. size: of a group."""
    groups = (rewards[first : first + size] for first in range(0, len(rewards), size))
    return any(spread(group) > SMALLEST_SPREAD for group in groups)


def spread(rewards: Sequence[float | None]) -> float:
    """From the lowest to the highest of those that there are."""
    known = [reward for reward in rewards if reward is not None]
    return max(known) - min(known) if known else 0.0


def of_groups(rewards: Sequence[float | None], group_size: int) -> dict[str, float]:
    """How rewards are spread in the batch and within its groups, and how many completions have none.

    group_reward_std: a group's own (population) standard deviation, mean over the groups of two or more rewards, as
    TRL's `reward_std`; equal_groups: the share of those whose rewards are all equal, as TRL's `frac_reward_zero_std`.
    What nobody judged has neither.
    """
    known = [reward for reward in rewards if reward is not None]
    found = {"unjudged": float(len(rewards) - len(known))}
    if known:
        found["batch_reward_std"] = pstdev(known)
    groups = [
        [reward for reward in rewards[first : first + group_size] if reward is not None]
        for first in range(0, len(rewards), group_size)
    ]
    if stds := [pstdev(group) for group in groups if len(group) > 1]:
        found["group_reward_std"] = fmean(stds)
        found["equal_groups"] = sum(std < EQUAL for std in stds) / len(stds)
    return found


OWN_NAMES = ("rewards/", "tools/")
TRLS_OWN = {"rewards/reward/mean", "rewards/reward/std"}  # of the one reward function that TRL knows


def judged_metrics(found: Judged) -> Metrics:
    """Without a mean where the graders scored nothing: 0 would be a reward like any other."""
    means = {"valid_reward_mean": found.reward_mean}
    means |= {f"valid_rewards/{name}/mean": value for name, value in found.rewards.items()}
    known = {name: value for name, value in means.items() if value is not None}
    return known | {"valid_completion_length_mean": found.length_mean, "valid_unjudged": float(found.unjudged)}


def random_state() -> dict[str, Any]:
    return {
        "python": random.getstate(),
        "numpy": numpy.random.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    random.setstate(state["python"])
    numpy.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
