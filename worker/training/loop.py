"""The loop that every training method shares: resume, train, judge how it ended, publish."""

import contextlib
import json
from pathlib import Path
from typing import cast

import torch
from peft import PeftModel
from transformers import PrinterCallback, Trainer

from fettle.errors import TrainingFailed
from worker.training import adapter, device, loading, ranks
from worker.training.callback import Drained, Report
from worker.training.channel import Channel
from worker.training.methods import METHODS
from worker.training.work import Work


def run(work: Work, channel: Channel) -> None:
    """Sends `done` or `stopped` last. Raises TrainingFailed, or whatever the libraries raise."""
    torch.set_num_threads(max(1, work.threads // ranks.count()))
    trainer = METHODS[work.method](work, channel)
    loading.restore_precision(cast(PeftModel, trainer.model))
    report = Report(work, channel, validates=trainer.eval_dataset is not None)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(report)
    if work.resume:
        prepare_to_resume(trainer, work.resume, channel)
    with contextlib.suppress(Drained):
        trainer.train(resume_from_checkpoint=str(work.resume) if work.resume else None)
    peaks = device.peaks()
    channel.event(device.peaks_sentence(peaks), peaks)
    finish(trainer, report, work, channel)


def prepare_to_resume(trainer: Trainer, checkpoint: Path, channel: Channel) -> None:
    """One from the end of an epoch was saved before that epoch's validation, which therefore comes first."""
    state = json.loads((checkpoint / "trainer_state.json").read_text())
    trainer.args.eval_on_start = trainer.eval_dataset is not None and float(state["epoch"]).is_integer()
    channel.event(f"Resuming after step {state['global_step']}.", {"step": state["global_step"]})


def finish(trainer: Trainer, report: Report, work: Work, channel: Channel) -> None:
    step, total = trainer.state.global_step, trainer.state.max_steps
    if report.drained:
        channel.conclude("stopped", step=step)
    elif step < total:
        raise TrainingFailed(
            "training_incomplete",
            f"The trainer returned after step {step} of {total} without saying why. Start the job again; the worker's "
            "log of this run has what the trainer printed.",
        )
    else:
        if ranks.first():
            adapter.publish(cast(PeftModel, trainer.model), work)
        path = work.adapter.relative_to(work.folder).as_posix()
        channel.conclude("done", path=path, step=step, trained_tokens=trainer.state.num_input_tokens_seen)
