"""Supervised fine-tuning: cross-entropy on what the assistant says, and on nothing else."""

from pathlib import Path

from datasets import Dataset
from transformers import Trainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from fettle.formats.render import Renderer
from worker.training import arguments, batches, loading
from worker.training.channel import Channel
from worker.training.work import Work


def build(work: Work, channel: Channel) -> Trainer:
    """Raises TrainingFailed when the files cannot be trained on."""
    renderer = Renderer(work.base_path)
    train = tokenised(work.train, "training_file", work, renderer, channel)
    valid = tokenised(work.valid, "validation_file", work, renderer, channel) if work.valid else None
    return SFTTrainer(
        model=loading.network(work, channel),
        args=SFTConfig(
            **arguments.shared(work),
            max_length=None,  # the rows are measured already
            dataset_kwargs={"skip_prepare_dataset": True},  # and tokenised and masked
        ),
        train_dataset=train,
        eval_dataset=valid,
        processing_class=loading.tokenizer(work.base_path),
    )


def tokenised(path: Path, param: batches.Param, work: Work, renderer: Renderer, channel: Channel) -> Dataset:
    """Says what it found, and what it left out."""
    max_seq_length = work.hyperparameters["max_seq_length"]
    examples = batches.read(path, renderer, max_seq_length, param)
    message = (
        f"{param} tokenised: {examples.rows:,} rows, {examples.tokens:,} tokens, "
        f"{examples.supervised_tokens:,} of them supervised."
    )
    if examples.too_long:
        message += f" {examples.too_long:,} rows with more than {max_seq_length:,} tokens are left out."
    if examples.unsupervised:
        message += f" {examples.unsupervised:,} rows with nothing to learn are left out."
    channel.event(message, examples.counts(), level="warn" if examples.too_long or examples.unsupervised else "info")
    return examples.dataset
