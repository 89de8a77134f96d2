"""What the loop needs of a trainer, whatever the method; warm-up begins above zero, validation leaves no trace."""

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from peft import PeftModel
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from transformers import Trainer

from worker.training.model import adapter
from worker.training.process.channel import Channel, Stopped
from worker.training.process.job_spec import Work
from worker.training.source import Source

Metrics = dict[str, float]

# of every method: the trainer's names → ours
TRAINING = {
    "loss": "train_loss",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "epoch": "epoch",
    "num_input_tokens_seen": "tokens",
}


class Tuner(Trainer):
    """The part of a method's trainer that the loop calls. TRL's comes after it: `class Pairs(Tuner, DPOTrainer)`.

    training: the trainer's names of what it logs at a step → ours; what it leaves out is not reported.
    of_a_checkpoint: which metrics a checkpoint shows. judged_by: the metric of `validate` that says which step is best.
    nothing_learned: what to do about a run whose gradient was 0 all along.
    visits: examples that this rank has trained on, one twice in two epochs; of one that draws several completions of
    an example, these. lessons: supervised tokens of all ranks.
    judged_steps, taught_steps: of a method that learns from rewards, the steps that had some, and those whose rewards
    differed where they are compared.
    """

    nothing_learned: ClassVar[str] = (
        "Look at the rows with GET /v1/files/{id}/preview: the loss must have tokens that it counts, and the "
        "completions must be something that the base model does not say already."
    )
    no_spread: ClassVar[str] = ""
    judged_param: ClassVar[str] = "training_file"
    is_reward_model: ClassVar[bool] = False
    completions_a_visit = 1
    visits = lessons = judged_steps = taught_steps = 0

    training: ClassVar[Mapping[str, str]] = TRAINING
    of_a_checkpoint: ClassVar[tuple[str, ...]] = ("train_loss", "valid_loss")
    judged_by: ClassVar[str] = "valid_loss"
    higher_is_better: ClassVar[bool] = False

    def __init__(
        self,
        *,
        work: Work,
        channel: Channel,
        source: Source,
        probe_rows: list[list[int]],
        probe_conversations: list[list[dict[str, Any]]] | None = None,
        **options: Any,
    ) -> None:
        """work: with the hyperparameters as they are resolved on the rows that remain.

        probe_conversations: of a reward model, in the order of probe_rows.
        """
        super().__init__(**options)
        self.work, self.channel, self.source = work, channel, source
        self.probe_rows, self.probe_conversations = probe_rows, probe_conversations

    @abstractmethod
    def validate(self) -> Metrics | None:
        """`judged_by`, and what else the validation file shows; names begin with `valid_`. None: a stop broke it off.

        Nothing of it may reach the training to come: no random number is drawn from torch's own generator.
        """

    @abstractmethod
    def compare(self, work: Work, step: int) -> None:
        """Sends `evaluation`, base against tuned; step: the one whose adapter is published. Raises Stopped."""

    def named(self, logs: Mapping[str, float]) -> Metrics:
        """What a step logged, by our names."""
        return {ours: logs[theirs] for theirs, ours in self.training.items() if theirs in logs}

    def publish(self, work: Work) -> None:
        adapter.publish(cast(PeftModel, self.model), work)

    @property
    def checkpoint(self) -> Path:
        """Of this step."""
        return Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"

    @property
    def validates(self) -> bool:
        return self.eval_dataset is not None

    def evaluate(self, *_: Any, **__: Any) -> Metrics:
        """A stop breaks it off: then nothing is reported."""
        cast(PeftModel, self.model).eval()
        metrics = self.validate()
        if metrics is None:
            self.control.should_evaluate = False
            self.control.should_save = self.control.should_training_stop = True
            return {}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> LRScheduler:
        if self.lr_scheduler is None:
            warmup = self.args.get_warmup_steps(num_training_steps)
            shape: Callable[[int], float] = partial(share_of_rate, warmup=warmup, total=num_training_steps)
            self.lr_scheduler = LambdaLR(cast(torch.optim.Optimizer, optimizer or self.optimizer), shape)
            self._created_lr_scheduler = True
        return self.lr_scheduler


class Interruptible(Tuner):
    """A stop in the middle of a step breaks the step off; what came before it is saved."""

    saved = -1  # the step of the last checkpoint

    @abstractmethod
    def undo(self) -> bool:
        """Everything as it was before the step that was broken off; False when there was none."""

    def _save_checkpoint(self, *args: Any) -> None:
        super()._save_checkpoint(*args)
        self.saved = self.state.global_step

    def train(self, *args: Any, **options: Any) -> Any:
        self.saved = -1
        try:
            return super().train(*args, **options)
        except Stopped:
            if self.undo() and self.state.global_step not in (0, self.saved):
                self._save_checkpoint(self.model, None)
                self.control = self.callback_handler.on_save(self.args, self.state, self.control)
            raise


def share_of_rate(step: int, *, warmup: int, total: int) -> float:
    """Linear warm-up, then half a cosine to zero; transformers' schedule, but for a first step that does something.

    step: optimizer steps done. warmup: steps below the full rate; theirs begin with one at zero.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
