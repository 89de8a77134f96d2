"""GRPO (Shao et al. 2024, DeepSeekMath, section 4.1): what a completion's reward is above its group's mean, it gains.

TRL generates and takes the step; the scorer, outside, gives the rewards. One update is made from each batch of
completions, so that every step is a generation boundary and a checkpoint taken after it is gone on from exactly.
"""

import json
import random
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy
import torch
from datasets import Dataset
from peft import PeftModel
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.utils import RepeatSampler

from fettle.errors import TrainingFailed
from fettle.formats import reading
from fettle.formats.render import Renderer
from worker.training import arguments, lm_head, loading, scored, trainer
from worker.training.batches import LEFT_OUT_AT_MOST, Param
from worker.training.channel import Channel, Stopped
from worker.training.rewarded import Judged, RewardEvaluation
from worker.training.sampling import colocated, drawing
from worker.training.sampling.completions import Sampling
from worker.training.scored import Rollout
from worker.training.trainer import Metrics, Tuner
from worker.training.work import Work

CISPO_EPSILON_HIGH = 5.0
# the trainer's names → ours; those of each reward function keep theirs: rewards/<name>/mean
TRAINING = {
    **trainer.TRAINING,
    "num_tokens": "tokens",
    "reward": "train_reward_mean",
    "reward_std": "train_reward_std",
    "kl": "kl",
    "entropy": "entropy",
    "clip_ratio/region_mean": "clip_fraction",
    "cispo_clip_ratio": "clip_fraction",
    "completions/mean_length": "completion_length_mean",
    "completions/max_length": "completion_length_max",
    "completions/clipped_ratio": "completions_cut_off",
    "frac_reward_zero_std": "zero_spread_groups",
    "grader_errors": "grader_errors",
    "generation_seconds": "generation_seconds",
    "scoring_seconds": "scoring_seconds",
}


class EpochSampler(RepeatSampler):
    """TRL's, whose order in an epoch depends on the seed and the epoch alone, so that a resumed run meets it again."""

    def set_epoch(self, epoch: int) -> None:
        self.generator.manual_seed((self.seed or 0) + epoch)


class GroupTrainer(Tuner, GRPOTrainer):
    training: ClassVar = TRAINING
    of_a_checkpoint = ("train_loss", "train_reward_mean", "valid_reward_mean")
    judged_by = "valid_reward_mean"
    higher_is_better = True

    def __init__(self, *, renderer: Renderer, **options: Any) -> None:
        super().__init__(reward_funcs=[self.reward], **options)
        self.renderer = renderer
        self.before: dict[str, Any] | None = None  # what a broken-off step has used up
        self.saved = -1
        self.began = 0.0  # when the newest completions were begun
        self.advantages: list[float] = []  # of the newest rollouts of all ranks
        self.kl: dict[int, float] = {}  # of those that the loss has seen, by their number

    def reward(self, *, completion_ids: list[list[int]], messages: list[str], item: list[str], **_: Any) -> list[Any]:
        """TRL's reward function: None where a grader failed; the completion then moves nothing. Raises Stopped."""
        first = self.accelerator.process_index * len(completion_ids)
        rollouts = [
            Rollout(
                group=(first + row) // self.num_generations,
                messages=json.loads(messages[row]),
                item=json.loads(item[row]),
                completion=self.renderer.decode(ids),
                tokens=len(ids),
                stop_reason="stop" if ids[-1] in self.eos_token_ids else "length",
            )
            for row, ids in enumerate(completion_ids)
        ]
        seconds = time.perf_counter() - self.began
        judged = scored.score(rollouts, self.state.global_step + 1, "train", self.channel, seconds)
        found = self._metrics["train"]
        for name, values in judged.scores.items():
            known = [value for value in values if value is not None]
            if known:
                found[f"rewards/{name}/mean"].append(float(numpy.mean(known)))
                found[f"rewards/{name}/std"].append(float(numpy.std(known)))
        found["grader_errors"].append(judged.failed)
        found["generation_seconds"].append(seconds)
        found["scoring_seconds"].append(judged.seconds)
        return judged.rewards[first : first + len(rollouts)]

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self.began = time.perf_counter()
        self.before = {"random": random_state(), "tokens": self.state.num_input_tokens_seen}
        batch: dict[str, Any] = super()._generate_and_score_completions(inputs)
        self.advantages = list(self._logs["advantages"])[-len(inputs) * self.accelerator.num_processes :]
        if self.beta == 0:
            self.channel.send("rollouts", step=self.state.global_step + 1, advantages=self.advantages, kl=None)
        else:  # the loss computes what the policy says of them; it gets them shuffled, and perhaps a few at a time
            first = self.accelerator.process_index * len(inputs)
            batch["rollouts_B"] = torch.arange(first, first + len(inputs), device=self.accelerator.device)
            self.kl = {}
        return batch

    def _get_per_token_logps_and_entropies(self, *args: Any, **options: Any) -> Any:
        found = super()._get_per_token_logps_and_entropies(*args, **options)
        self.logprobs_BT = found[0].detach()
        return found

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Any:
        loss = super()._compute_loss(model, inputs)  # type: ignore[no-untyped-call]
        if self.beta != 0:
            self.note_kl(self.logprobs_BT, inputs)
        return loss

    def note_kl(self, logprobs_BT: torch.Tensor, inputs: dict[str, Any]) -> None:
        """KL to the reference, nats, summed over a completion's tokens: Schulman's k3 estimate, TRL's own.

        logprobs_BT: the policy's, of the tokens in `inputs`. Sends the rollouts once all of the step's are known.
        """
        log_ratio_BT = inputs["ref_per_token_logps"] - logprobs_BT
        kl_B = ((log_ratio_BT.exp() - log_ratio_BT - 1) * inputs["completion_mask"]).sum(-1)
        numbers, values = self.accelerator.gather((inputs["rollouts_B"], kl_B))
        self.kl |= dict(zip(numbers.tolist(), values.tolist(), strict=True))
        if len(self.kl) == len(self.advantages):
            kl = [self.kl[number] for number in range(len(self.kl))]
            self.channel.send("rollouts", step=self.state.global_step + 1, advantages=self.advantages, kl=kl)

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], *rest: Any, **options: Any
    ) -> tuple[list[list[int]], list[list[float]] | None]:
        network = cast(PeftModel, self.model)
        if self.use_vllm or not drawing.possible(network):
            theirs: Any = super()._generate_single_turn
            return cast(tuple[Any, Any], theirs(prompt_ids, *rest, **options))
        sampling = Sampling(self.longest, self.ends, self.renderer.pad_id, self.temperature)
        return drawing.draw(network, prompt_ids, int(self.num_generations or 1), sampling), None

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        encodings = self.renderer.tokenizer.encode_batch(prompts, add_special_tokens=False)
        return [list(encoding.ids) for encoding in encodings], None, {}

    def _get_train_sampler(self, dataset: Dataset | None = None) -> EpochSampler:
        ours = cast(RepeatSampler, super()._get_train_sampler(dataset))
        return EpochSampler(
            ours.data_source, ours.mini_repeat_count, ours.batch_size, ours.repeat_count, ours.shuffle, ours.seed
        )

    def _save_checkpoint(self, *args: Any) -> None:
        super()._save_checkpoint(*args)  # type: ignore[no-untyped-call]
        self.saved = self.state.global_step

    def train(self, *args: Any, **options: Any) -> Any:
        """A stop while completions are scored breaks the step off; what came before it is saved."""
        self.saved = -1
        try:
            return super().train(*args, **options)
        except Stopped:
            if self.before is not None and self.state.global_step not in (0, self.saved):
                restore_random_state(self.before["random"])
                self.state.num_input_tokens_seen = self.before["tokens"]
                self._save_checkpoint(self.model, None)
                self.control = self.callback_handler.on_save(self.args, self.state, self.control)
            raise

    def named(self, logs: Mapping[str, float]) -> Metrics:
        known = {name: value for name, value in logs.items() if value is not None}
        own = {name: value for name, value in known.items() if name.startswith("rewards/") and name not in TRLS_OWN}
        return super().named(known) | own

    def evaluation(self) -> RewardEvaluation:
        return RewardEvaluation(
            network=cast(PeftModel, self.model),
            renderer=self.renderer,
            ends=self.ends,
            max_tokens=self.longest,
            temperature=self.temperature,
            channel=self.channel,
        )

    def validate(self) -> Metrics | None:
        found = self.evaluation().validate(self.eval_dataset, self.state.global_step, self.eval_samples)
        return None if found is None else judged_metrics(found)

    def compare(self, work: Work, step: int) -> None:
        self.evaluation().compare(self.eval_dataset, step)

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


TRLS_OWN = {"rewards/reward/mean", "rewards/reward/std"}  # of the one reward function that TRL knows


def judged_metrics(found: Judged) -> Metrics:
    each = {f"valid_rewards/{name}/mean": value for name, value in found.rewards.items()}
    return {"valid_reward_mean": found.reward_mean, "valid_completion_length_mean": found.length_mean, **each}


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


def build(work: Work, channel: Channel) -> GroupTrainer:
    """Raises TrainingFailed when the files cannot be trained on, Stopped when a stop comes first."""
    lm_head.score_labels_only()
    asked = work.hyperparameters
    renderer = Renderer(work.base_path)
    train = read(work.train, "training_file", work, renderer, channel)
    valid = read(work.valid, "validation_file", work, renderer, channel) if work.valid else None
    if len(train) < asked["batch_size"]:
        raise TrainingFailed(
            "too_few_prompts",
            f"training_file has {len(train)} prompts that fit, fewer than batch_size={asked['batch_size']}: no step "
            f"would be made. Lower batch_size to {len(train)}.",
            "batch_size",
        )
    completions = replace(work, hyperparameters={**asked, "batch_size": asked["batch_size"] * asked["group_size"]})
    args = GRPOConfig(
        **colocated.options(asked["max_seq_length"], on_gpu=torch.cuda.is_available()),
        **arguments.shared(completions) | {"include_num_input_tokens_seen": "no"},  # TRL counts them itself
        num_generations=asked["group_size"],
        num_generations_eval=asked["eval_samples"],
        max_completion_length=asked["max_completion_tokens"],
        temperature=asked["temperature"],
        beta=asked["kl_beta"],
        **loss(asked["loss_type"], asked["epsilon"]),
    )
    return GroupTrainer(
        channel=channel,
        renderer=renderer,
        model=loading.network(completions, channel),
        args=args,
        train_dataset=train,
        eval_dataset=valid,
        processing_class=loading.tokenizer(work.base_path),
    )


def loss(loss_type: str, epsilon: float) -> dict[str, Any]:
    """TRL's options for a loss of this name."""
    options: dict[str, Any] = {"loss_type": loss_type, "epsilon": epsilon}
    if loss_type == "gspo":
        options |= {"loss_type": "grpo", "importance_sampling_level": "sequence"}
    if loss_type == "cispo":
        options["epsilon_high"] = CISPO_EPSILON_HIGH
    if loss_type == "dr_grpo":
        options["scale_rewards"] = "none"
    return options


def read(path: Path, param: Param, work: Work, renderer: Renderer, channel: Channel) -> Dataset:
    """Rows of `prompt`, the text that the policy goes on from, and `messages` and `item`, JSON for the graders.

    TRL cuts no prompt: one that leaves no room for a completion is left out and counted.
    """
    room = work.hyperparameters["max_seq_length"] - work.hyperparameters["max_completion_tokens"]
    rows: list[dict[str, str]] = []
    longest = too_long = 0
    try:
        for _, prompt in reading.prompts(path):
            text = renderer.text(prompt.messages, opening=True)
            tokens = len(renderer.tokenizer.encode(text, add_special_tokens=False).ids)
            longest = max(longest, tokens)
            if tokens > room:
                too_long += 1
                continue
            item = json.dumps(prompt.item)
            rows.append({"prompt": text, "messages": json.dumps(prompt.messages), "item": item})
    except reading.Unreadable as error:
        raise TrainingFailed("file_unreadable", f"{param}, {error}", param) from error
    total = len(rows) + too_long
    if too_long > LEFT_OUT_AT_MOST * total or not rows:
        raise TrainingFailed(
            "prompts_too_long",
            f"{too_long} of the {total} prompts of {param} have more than the {room} tokens that max_seq_length leaves "
            f"beside max_completion_tokens; the longest has {longest}. Raise max_seq_length, lower "
            "max_completion_tokens, or shorten the prompts.",
            "max_seq_length",
        )
    message = f"{param}: {total:,} prompts, the longest of {longest:,} tokens."
    if too_long:
        message += f" {too_long:,} with more than {room:,} tokens are left out."
    counts = {"rows": total, "longest_prompt_tokens": longest, "rows_too_long": too_long}
    channel.event(message, counts, level="warn" if too_long else "info")
    return Dataset.from_list(rows)
