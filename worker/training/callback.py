"""What the trainer reports to the supervisor, and when it validates, saves and stops."""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

import torch
from peft import PeftModel
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from fettle.errors import TrainingFailed
from worker.training.distributed import ranks
from worker.training.early_stopping import Convergence, LossWatch
from worker.training.model import adapter
from worker.training.movement import Counts, Watch
from worker.training.process.channel import Channel, Stopped
from worker.training.process.job_spec import Work
from worker.training.trainer import Metrics, Tuner

VITAL = ("train_loss", "grad_norm")  # a run without them finite has diverged
PROGRESS = "progress.json"  # in a checkpoint: what this callback knew


class Report(TrainerCallback):
    """Every step reports; at their intervals come validation, then a checkpoint, which holds the verdict on it.

    A stop breaks validation off and saves at once. The checkpoint then says that validation is due, so that a run
    resumed from there begins with it and goes on as an undisturbed one.
    """

    def __init__(self, work: Work, channel: Channel, tuner: Tuner) -> None:
        early_stopping = work.hyperparameters["early_stopping"]
        self.work = work
        self.channel = channel
        self.tuner = tuner
        self.validates = tuner.validates
        self.keeps_best = bool(early_stopping)
        self.convergence = Convergence(**(early_stopping or {}))
        self.losses = LossWatch()
        self.validation_due = False
        self.stopped_early = False
        self.drained = False
        self.latest: Metrics = {}
        self.tokens, self.clock = 0, 0.0
        self.watch = Watch(cast(PeftModel, tuner.model))
        self.best_counts: Counts | None = None  # of the best step so far
        self.first_loss: float | None = None
        self.last_loss: float | None = None
        self.incomplete = False  # resumed from a checkpoint that does not say what was seen before it
        self.visits = self.lessons = self.judged = self.taught = 0  # of the whole run, up to the last `settle`
        self.before = {"visits": 0, "lessons": 0, "judged": 0, "taught": 0}

    def restore(self) -> None:
        """From the checkpoint to resume from."""
        assert self.work.resume is not None  # noqa: S101 — the loop looked
        file = self.work.resume / PROGRESS
        if not file.exists():  # an earlier version's, which saved at the end of an epoch and validated afterwards
            state = json.loads((self.work.resume / "trainer_state.json").read_text())
            self.validation_due = self.validates and float(state["epoch"]).is_integer()
            return
        progress = json.loads(file.read_text())
        self.validation_due, self.stopped_early = progress["validation_due"], progress["stopped_early"]
        self.convergence = Convergence.restored(progress["convergence"])
        known = progress.get("evidence")
        self.incomplete = known is None or known["incomplete"]
        if known:
            self.watch.restore(known["counts"])
            self.best_counts = known["best_counts"] and Counts(**known["best_counts"])
            self.first_loss = known["first_loss"]
            self.before = {name: known[name] for name in self.before}
        self.losses = LossWatch(**progress.get("losses", {}))

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: Any = None,
        **_: Any,
    ) -> None:
        self.channel.heed_stop()
        self.watch.follow(optimizer)
        self.start_clock(state)

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Raises Stopped when the run had ended before it was resumed, or its first validation was broken off."""
        if self.stopped_early or self.validation_due:
            raise Stopped

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        self.latest = {}
        self.drained = self.channel.stop.is_set()
        self.validation_due = self.validates and self.due("eval_interval", state)
        control.should_evaluate = self.validation_due and not self.drained
        control.should_save = self.drained or self.due("checkpoint_interval", state)
        control.should_training_stop = control.should_training_stop or self.drained
        return control

    def due(self, interval: str, state: TrainerState) -> bool:
        """Always at the last step."""
        steps = self.work.hyperparameters[interval]
        if state.global_step >= state.max_steps:
            return True
        return at_epoch_end(state) if steps == "epoch" else state.global_step % steps == 0

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Metrics | None = None,
        **_: Any,
    ) -> None:
        logs = logs or {}
        judged_by = self.tuner.judged_by
        metrics = self.tuner.named(logs) if "loss" in logs else validated(logs)
        if not metrics:
            return
        if "loss" not in logs:
            metrics = self.last_train_loss(state) | metrics
        refuse_diverged(metrics, (*VITAL, judged_by), state.global_step, logs.get("learning_rate", args.learning_rate))
        metrics = {name: value for name, value in metrics.items() if math.isfinite(value)}
        if "loss" in logs:
            self.convergence.train(logs["loss"])
            self.first_loss = logs["loss"] if self.first_loss is None else self.first_loss
            self.last_loss = logs["loss"]
            if self.loss_tells and (why := self.losses.see(state.global_step, logs["loss"])):
                self.channel.event(why, {"step": state.global_step, "warning": "blew_up"}, level="warn")
            metrics["tokens_per_second"] = self.pace(state)
        self.latest |= metrics
        self.channel.send("metrics", step=state.global_step, total_steps=state.max_steps, data=metrics)

    def last_train_loss(self, state: TrainerState) -> Metrics:
        """For events of a validation: OpenAI's have both losses, and scripts read train_loss in every event."""
        trained = next((logs for logs in reversed(state.log_history) if "loss" in logs), {})
        return {name: value for name, value in self.tuner.named(trained).items() if name == "train_loss"}

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        metrics: Metrics | None = None,
        **_: Any,
    ) -> TrainerControl:
        self.validation_due = False
        judged = (metrics or {}).get(self.tuner.judged_by)
        if judged is None:  # the graders scored no completion of the validation file: it says nothing of this step
            self.start_clock(state)
            return control
        verdict = self.convergence.validate(state.global_step, -judged if self.tuner.higher_is_better else judged)
        if verdict.overfits and self.tuner.judged_by == "valid_loss":
            self.channel.event(verdict.overfits, {"step": state.global_step}, level="warn")
        if verdict.lowest and self.keeps_best:
            self.best_counts = self.watch.counts()
            if ranks.first():
                adapter.save(model, self.work.best)
        if verdict.stop and state.global_step < state.max_steps:
            self.stopped_early = control.should_training_stop = control.should_save = True
        self.start_clock(state)
        return control

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: torch.nn.Module | None = None,
        **_: Any,
    ) -> None:
        step = state.global_step
        if model is not None:
            refuse_undefined(model, step)
        self.drained = self.drained or self.validation_due
        folder = self.work.out / f"checkpoint-{step}"
        ranks.collect("rng_state_{}.pth", folder)
        self.settle()  # and waits: each rank has put its random state there
        if ranks.first():
            (folder / PROGRESS).write_text(json.dumps(self.progress()))
            if self.keeps_best and self.convergence.best_step not in (None, step):
                adapter.add_best(folder, self.work.best)
            adapter.tidy(folder, self.work)
            (self.work.out / "README.md").unlink(missing_ok=True)  # TRL writes a model card at every save
        metrics = {name: self.latest[name] for name in self.tuner.of_a_checkpoint if name in self.latest}
        path = folder.relative_to(self.work.folder).as_posix()
        self.channel.send("checkpoint", step=step, path=path, metrics=metrics | {"step": step})
        self.start_clock(state)

    def progress(self) -> dict[str, Any]:
        return {
            "convergence": self.convergence.state(),
            "losses": asdict(self.losses),
            "validation_due": self.validation_due,
            "stopped_early": self.stopped_early,
            "evidence": {
                "counts": self.watch.counts().to_json(),
                "best_counts": self.best_counts and self.best_counts.to_json(),
                "first_loss": self.first_loss,
                "incomplete": self.incomplete,
                "visits": self.visits,
                "lessons": self.lessons,
                "judged": self.judged,
                "taught": self.taught,
            },
        }

    def settle(self) -> None:
        """Counts what all ranks have seen. A step that all take together."""
        ranks.wait()
        visits = total(self.tuner.visits, self.tuner) // self.tuner.completions_a_visit
        self.visits = self.before["visits"] + visits
        self.lessons = self.before["lessons"] + self.tuner.lessons
        self.judged = self.before["judged"] + self.tuner.judged_steps
        self.taught = self.before["taught"] + self.tuner.taught_steps

    def counts_of(self, step: int) -> Counts:
        """What led to the weights of this step: the last one, or the best."""
        best = self.convergence.best_step
        return self.best_counts if self.keeps_best and self.best_counts and best == step else self.watch.counts()

    def loss_summary(self) -> str:
        """For people."""
        if self.first_loss is None or self.last_loss is None:
            return "no loss was reported"
        return f"train_loss {self.first_loss:.4f} at the first step, {self.last_loss:.4f} at the last"

    @property
    def loss_tells(self) -> bool:
        """Whether a training loss that rises is a bad sign; where rewards judge, its size says nothing."""
        return self.tuner.judged_by == "valid_loss"

    def best(self) -> float:
        """What the best step's validation said, by the method's own measure."""
        assert self.convergence.best is not None  # noqa: S101 — the last step was validated
        return -self.convergence.best if self.tuner.higher_is_better else self.convergence.best

    def start_clock(self, state: TrainerState) -> None:
        self.tokens, self.clock = state.num_input_tokens_seen, time.perf_counter()

    def pace(self, state: TrainerState) -> float:
        """Tokens per second of the step that ends now: reading its batch, forward, backward and update."""
        tokens, clock = self.tokens, self.clock
        self.start_clock(state)
        return round((self.tokens - tokens) / (self.clock - clock), 1)


def at_epoch_end(state: TrainerState) -> bool:
    return state.epoch is not None and float(state.epoch).is_integer()


def validated(logs: Metrics) -> Metrics:
    """Of what was logged, what `Tuner.validate` said; the rest is the trainer's."""
    return {name: value for name, value in logs.items() if name.startswith("valid_")}


def refuse_diverged(metrics: Metrics, vital: Sequence[str], step: int, learning_rate: float) -> None:
    """Raises TrainingFailed for a loss or gradient that is not finite."""
    for name, value in metrics.items():
        if name in vital and not math.isfinite(value):
            raise diverged(f"{name} is {value} at step {step} with learning rate {learning_rate:g}")


def refuse_undefined(network: torch.nn.Module, step: int) -> None:
    """Raises TrainingFailed for weights that are not finite: the last update may break what no later loss shows."""
    if not all(torch.isfinite(tensor).all() for tensor in network.parameters() if tensor.requires_grad):
        raise diverged(f"the adapter holds weights that are not finite after step {step}")


def diverged(sentence: str) -> TrainingFailed:
    return TrainingFailed(
        "diverged", f"Training diverged: {sentence}. Lower learning_rate and start the job again.", "learning_rate"
    )


def total(number: int, tuner: Tuner) -> int:
    """The sum over all ranks. A step that all take together."""
    if tuner.accelerator.num_processes == 1:
        return number
    counted = torch.tensor(number, dtype=torch.long, device=tuner.args.device)
    return int(tuner.accelerator.reduce(counted))
