"""Supervised fine-tuning: cross-entropy on what the assistant says, and on nothing else."""

from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from datasets import Dataset
from peft import PeftModel
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from fettle.datasets.formats.render import Renderer
from fettle.wording import quantity
from worker.training import arguments, probe, trainer
from worker.training.data import packing, remaining_rows
from worker.training.data import supervised as batches
from worker.training.data.collation import Collator, tokens_at_once
from worker.training.distributed import ranks
from worker.training.evaluation import base_against_tuned, token_loss
from worker.training.evaluation.token_loss import HeldOut, LossSum
from worker.training.lines import warn_of_known
from worker.training.model import lm_head, loading
from worker.training.process.channel import Channel
from worker.training.process.job_spec import Work
from worker.training.source import Source
from worker.training.trainer import Metrics, Tuner


class SupervisedTrainer(Tuner, SFTTrainer):
    """TRL's SFT trainer on batches in parts."""

    training: ClassVar = {**trainer.TRAINING, "mean_token_accuracy": "train_mean_token_accuracy"}
    of_a_checkpoint = ("train_loss", "train_mean_token_accuracy", "valid_loss", "valid_mean_token_accuracy")

    def __init__(self, *, data_collator: Collator, **options: Any) -> None:
        super().__init__(data_collator=data_collator, **options)
        self.held_out = HeldOut(self.eval_dataset, data_collator) if self.eval_dataset is not None else None
        self.right = self.supervised = torch.zeros((), device=self.args.device, dtype=torch.long)

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Forward and backward, part by part; ranks share their gradients at the last one only."""
        *others, last = inputs["parts"]
        self.visits += sum(len(part["input_ids"]) for part in inputs["parts"])
        loss = torch.zeros((), device=self.args.device)
        for part in others:
            with self.accelerator.no_sync(model):
                loss += super().training_step(model, part, num_items_in_batch)  # type: ignore[no-untyped-call]  # TRL's
        loss += super().training_step(model, last, num_items_in_batch)  # type: ignore[no-untyped-call]  # TRL's
        return loss

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """Cross-entropy: the part's sum over the labels of the whole batch, of all ranks, whose mean DDP takes."""
        outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        labels = outputs.label_mask.sum()
        self.right = self.right + outputs.is_top1.sum()
        self.supervised = self.supervised + labels
        loss: torch.Tensor = -outputs.log_probs.sum() / num_items_in_batch
        if self.aux_loss_enabled:  # a mixture of experts balances their load
            loss = loss + self.router_aux_loss_coef * outputs.aux_loss * labels / num_items_in_batch
        return loss * int(self.accelerator.num_processes)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            right, supervised = self.accelerator.reduce(torch.stack([self.right, self.supervised])).tolist()
            logs["mean_token_accuracy"] = right / supervised
            self.lessons += supervised
            self.right = self.supervised = torch.zeros_like(self.right)
        super().log(logs, start_time)

    def validate(self) -> Metrics | None:
        """Each supervised token of the validation file once.

        Every rank takes every n-th part, and as many turns as the others: to hear a stop is a step of all.
        """
        assert self.held_out is not None  # noqa: S101 — nobody validates without a file
        score = LossSum()
        for group in ranks.turns(self.held_out.groups):
            if group is not None:
                score += token_loss.score(cast(PeftModel, self.model), self.held_out.part(group))
            if self.channel.stop.is_set():
                return None
        counted = [score.loss_sum, score.right, score.tokens, score.rows]
        sums = torch.tensor(counted, dtype=torch.float64, device=self.args.device)
        loss_sum, right, tokens, rows = self.accelerator.reduce(sums).tolist()
        score = LossSum(loss_sum, int(right), int(tokens), int(rows))
        return {"valid_loss": score.loss, "valid_mean_token_accuracy": score.accuracy}

    def compare(self, work: Work, step: int) -> None:
        assert self.held_out is not None  # noqa: S101 — the loop looked
        base_against_tuned.evaluate(cast(PeftModel, self.model), self.held_out, work, self.channel, step)


def build(work: Work, channel: Channel) -> SupervisedTrainer:
    """Raises TrainingFailed when the files cannot be trained on, Stopped when a stop comes first."""
    lm_head.score_labels_only()
    renderer = Renderer(work.base_path)
    examples = tokenised(work.train, "training_file", work, renderer, channel)
    known = examples.digests
    valid = tokenised(work.valid, "validation_file", work, renderer, channel, known).dataset if work.valid else None
    work = remaining_rows.resolve(work, len(examples.dataset), channel)
    train = packed(examples.dataset, work, channel) if work.hyperparameters["packing"] else examples.dataset
    network = loading.network(work, channel)
    args = SFTConfig(
        **arguments.shared(work),
        max_length=None,  # the rows are measured already
        dataset_kwargs={"skip_prepare_dataset": True},  # and tokenised and masked
    )
    return SupervisedTrainer(
        work=work,
        channel=channel,
        data_collator=Collator(renderer.pad_id, tokens_at_once(args.device.type, bf16=bool(args.bf16))),
        model=network,
        args=args,
        train_dataset=train,
        eval_dataset=valid,
        processing_class=loading.tokenizer(work.base_path),
        source=Source(
            examples.sequences, len(examples.dataset), examples.lines, examples.supervised_tokens, examples.rows
        ),
        probe_rows=[list(ids) for ids in examples.dataset[: probe.ROWS]["input_ids"]],
    )


def tokenised(
    path: Path,
    param: batches.Param,
    work: Work,
    renderer: Renderer,
    channel: Channel,
    elsewhere: frozenset[bytes] = frozenset(),
) -> batches.Examples:
    """Sends an event about the rows found and left out, and one about those that `elsewhere` has too, by digest."""
    max_seq_length = work.hyperparameters["max_seq_length"]
    heed = channel.heed_stop if ranks.count() == 1 else None  # several cannot agree before they have met
    examples = batches.read(path, renderer, max_seq_length, param, heed, elsewhere)
    message = (
        f"{param} tokenised: {quantity(examples.rows, 'row')}, {quantity(examples.tokens, 'token')}, "
        f"{examples.supervised_tokens:,} of them supervised."
    )
    if len(examples.dataset) > examples.kept:
        message += (
            f" The chat template rewrites earlier turns, so that {quantity(examples.kept, 'row')} became "
            f"{len(examples.dataset):,} sequences: each turn is learned after exactly what is sent when it is served."
        )
    message += examples.lines.left_out("too_long", "row", f"with more than {max_seq_length:,} tokens")
    message += examples.lines.left_out("without_completion", "row", "with nothing to learn")
    channel.event(message, examples.counts(), level="warn" if examples.too_long or examples.unsupervised else "info")
    warn_of_known(examples.lines, examples.rows, channel)
    return examples


def packed(train: Dataset, work: Work, channel: Channel) -> Dataset:
    """Says into how many blocks, and how full they are."""
    capacity = work.hyperparameters["max_seq_length"]
    blocks = packing.pack(train, capacity)
    tokens = sum(map(sum, blocks["seq_lengths"]))
    full = tokens / (len(blocks) * capacity)
    message = (
        f"training_file packed: {len(train):,} rows in {len(blocks):,} blocks of {capacity:,} tokens, {full:.1%} full."
    )
    channel.event(message, {"rows": len(train), "blocks": len(blocks), "block_tokens": capacity, "full": full})
    return blocks
