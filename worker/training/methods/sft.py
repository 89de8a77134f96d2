"""Supervised fine-tuning: cross-entropy on what the assistant says, and on nothing else."""

from pathlib import Path

from datasets import Dataset
from trl.trainer.sft_config import SFTConfig

from fettle.formats.render import Renderer
from worker.training import arguments, batches, lm_head, loading, packing, ranks
from worker.training.channel import Channel
from worker.training.collation import TOKENS_AT_ONCE, Collator
from worker.training.trainer import Tuner
from worker.training.work import Work


def build(work: Work, channel: Channel) -> Tuner:
    """Raises TrainingFailed when the files cannot be trained on, Stopped when a stop comes first."""
    lm_head.score_labels_only()
    renderer = Renderer(work.base_path)
    train = tokenised(work.train, "training_file", work, renderer, channel)
    valid = tokenised(work.valid, "validation_file", work, renderer, channel) if work.valid else None
    if work.hyperparameters["packing"]:
        train = packed(train, work, channel)
    network = loading.network(work, channel)
    args = SFTConfig(
        **arguments.shared(work),
        max_length=None,  # the rows are measured already
        dataset_kwargs={"skip_prepare_dataset": True},  # and tokenised and masked
    )
    return Tuner(
        channel=channel,
        data_collator=Collator(renderer.pad_id, TOKENS_AT_ONCE[args.device.type]),
        model=network,
        args=args,
        train_dataset=train,
        eval_dataset=valid,
        processing_class=loading.tokenizer(work.base_path),
    )


def tokenised(path: Path, param: batches.Param, work: Work, renderer: Renderer, channel: Channel) -> Dataset:
    """Says what it found, and what it left out."""
    max_seq_length = work.hyperparameters["max_seq_length"]
    heed = channel.heed_stop if ranks.count() == 1 else None  # several cannot agree before they have met
    examples = batches.read(path, renderer, max_seq_length, param, heed)
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
