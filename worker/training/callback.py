"""What the trainer reports to the supervisor, and when it saves, validates and stops."""

import math
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from fettle.errors import TrainingFailed
from worker.training import adapter, ranks
from worker.training.channel import Channel
from worker.training.work import Work

# the trainer's names → ours
TRAINING = {
    "loss": "train_loss",
    "mean_token_accuracy": "train_mean_token_accuracy",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "epoch": "epoch",
    "num_input_tokens_seen": "tokens",
}
VALIDATION = {"eval_loss": "valid_loss", "eval_mean_token_accuracy": "valid_mean_token_accuracy"}
OF_A_CHECKPOINT = ("train_loss", "train_mean_token_accuracy", *VALIDATION.values())

Metrics = dict[str, Any]


class Drained(Exception):
    """A stop came during validation; the epoch's checkpoint is already on disk."""


class Report(TrainerCallback):
    """Every step reports; every epoch ends in a checkpoint, then validation, then the announcement of both.

    The checkpoint is saved before validation, so that a stop never has to wait for it. So that a run resumed from
    there equals an undisturbed one, validation leaves no trace in the random state.
    """

    def __init__(self, work: Work, channel: Channel, *, validates: bool) -> None:
        self.work = work
        self.channel = channel
        self.validates = validates
        self.drained = False
        self.latest: Metrics = {}
        self.unannounced: Path | None = None
        self.random_state = torch.get_rng_state()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        self.latest = {}
        if self.channel.stop.is_set():
            self.drained = control.should_training_stop = True
        control.should_save = self.drained or at_epoch_end(state)
        return control

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Metrics | None = None,
        **_: Any,
    ) -> None:
        logs = logs or {}
        names = TRAINING if "loss" in logs else VALIDATION if "eval_loss" in logs else {}
        metrics = {ours: logs[theirs] for theirs, ours in names.items() if theirs in logs}
        if metrics:
            refuse_diverged(metrics, state.global_step, logs.get("learning_rate", args.learning_rate))
            self.latest |= metrics
            self.channel.send("metrics", step=state.global_step, total_steps=state.max_steps, data=metrics)

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: torch.nn.Module | None = None,
        **_: Any,
    ) -> None:
        if model is not None:
            refuse_undefined(model, state.global_step)
        self.unannounced = self.work.out / f"checkpoint-{state.global_step}"
        ranks.wait()  # each has put its random state there
        if ranks.first():
            adapter.tidy(self.unannounced, self.work.base_name)
        (self.work.out / "README.md").unlink(missing_ok=True)  # TRL writes a model card at every save
        if self.drained or not self.validates:
            self.announce(state.global_step)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        self.random_state = torch.get_rng_state()
        control.should_evaluate = self.validates and not self.drained
        return control

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self.channel.stop.is_set():
            self.announce(state.global_step)
            self.drained = True
            raise Drained

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        torch.set_rng_state(self.random_state)
        self.announce(state.global_step)

    def announce(self, step: int) -> None:
        if self.unannounced is None:
            return
        metrics = {name: self.latest[name] for name in OF_A_CHECKPOINT if name in self.latest}
        path = self.unannounced.relative_to(self.work.folder).as_posix()
        self.channel.send("checkpoint", step=step, path=path, metrics=metrics | {"step": step})
        self.unannounced = None


def at_epoch_end(state: TrainerState) -> bool:
    return state.epoch is not None and float(state.epoch).is_integer()


def refuse_diverged(metrics: Metrics, step: int, learning_rate: float) -> None:
    """Raises TrainingFailed for a loss or gradient that is not finite."""
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise diverged(f"{name} is {value} at step {step} with learning rate {learning_rate:g}")


def refuse_undefined(network: torch.nn.Module, step: int) -> None:
    """Raises TrainingFailed for weights that are not finite: the last update may break what no later loss shows."""
    if not all(torch.isfinite(tensor).all() for tensor in network.parameters() if tensor.requires_grad):
        raise diverged(f"the adapter holds weights that are not finite after step {step}")


def diverged(sentence: str) -> TrainingFailed:
    return TrainingFailed(
        "diverged", f"Training diverged: {sentence}. Lower learning_rate and start the job again.", "learning_rate"
    )
