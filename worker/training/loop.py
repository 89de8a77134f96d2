"""The loop that every training method shares: resume, train, judge how it ended, publish, evaluate."""

import json
import traceback
from typing import cast

import torch
from peft import PeftModel
from transformers import PrinterCallback

from fettle.errors import TrainingFailed
from worker.training import evidence, phases
from worker.training.callback import Report, refuse_undefined
from worker.training.distributed import ranks
from worker.training.model import adapter, device, loading
from worker.training.phases import Outcome, Phase
from worker.training.process.channel import Channel, Stopped
from worker.training.process.job_spec import Work
from worker.training.trainer import Tuner


def run(work: Work, channel: Channel) -> None:
    """Sends `done` or `stopped` last. Raises TrainingFailed, or whatever the libraries raise."""
    torch.set_num_threads(max(1, work.threads // ranks.count_here()))
    phase: Phase | None = phases.first(work, channel)
    while phase is not None:
        outcome = train_phase(phase)
        device.release()
        phase = phase.then(outcome) if outcome else None
    ranks.wait()  # the first evaluates alone


def train_phase(phase: Phase) -> Outcome | None:
    """None when it was stopped, which it has said."""
    work, channel = phase.work, phase.channel
    try:
        trainer = phase.build(work, channel)
        work = trainer.work
        loading.restore_precision(cast(PeftModel, trainer.model))
        report = Report(work, channel, trainer)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(report)
        if work.resume:
            prepare_to_resume(trainer, report, work, channel)
        train(trainer, report, work)
        peaks = device.peaks()
        channel.event(device.peaks_sentence(peaks), peaks)
        return finish(trainer, report, work, channel)
    except Stopped:
        channel.conclude("stopped", step=steps_saved(work))
        return None


def prepare_to_resume(trainer: Tuner, report: Report, work: Work, channel: Channel) -> None:
    assert work.resume is not None  # noqa: S101 — the caller looked
    report.restore()
    trainer.args.eval_on_start = report.validation_due
    if report.keeps_best and report.convergence.best_step is not None and ranks.first():
        adapter.recover_best(work.resume, work.best)
    step = steps_saved(work)
    channel.event(f"Resuming after step {step}.", {"step": step})


def steps_saved(work: Work) -> int:
    """Steps that a run begins with: those of the checkpoint that it resumes from."""
    return int(json.loads((work.resume / "trainer_state.json").read_text())["global_step"]) if work.resume else 0


def train(trainer: Tuner, report: Report, work: Work) -> None:
    """Returns at once when early stopping had ended the run before it was resumed."""
    try:
        trainer.train(resume_from_checkpoint=str(work.resume) if work.resume else None)
    except Stopped:
        if not report.stopped_early:
            raise


def finish(trainer: Tuner, report: Report, work: Work, channel: Channel) -> Outcome | None:
    """What every rank ends with; the first publishes and evaluates."""
    step, total = trainer.state.global_step, trainer.state.max_steps
    if report.drained:
        channel.conclude("stopped", step=step)
        return None
    if step < total and not report.stopped_early:
        raise TrainingFailed(
            "training_incomplete",
            f"The trainer returned after step {step} of {total} without saying why. Start the job again; the worker's "
            "log of this run has what the trainer printed.",
        )
    kept, proof = step, {}
    report.settle()
    if ranks.first():
        kept = keep_best(trainer, report, work, channel) if report.keeps_best else step
        refuse_undefined(cast(PeftModel, trainer.model), kept)
        proof = evidence.gathered(trainer, report, work, kept)
        if report.losses.blown_up and kept == step:
            channel.event(
                f"Training ended blown up: {report.losses.rise}. The model that is published is most likely worse than "
                "its base. Start the job again with a lower learning_rate, or continue from an earlier checkpoint.",
                {"step": step, "warning": "ended_blown_up"},
                level="warn",
            )
        trainer.publish(work)
        if work.valid:
            channel.stop = ranks.own(channel.stop)
            evaluate(trainer, work, channel, kept)
    return Outcome(step, kept, trainer.state.num_input_tokens_seen, proof)


def keep_best(trainer: Tuner, report: Report, work: Work, channel: Channel) -> int:
    """Goes back to the step that validated best, and says so. Returns that step."""
    step, total = trainer.state.global_step, trainer.state.max_steps
    found = report.convergence
    if found.best_step is None:
        message = "No completion of the validation file was ever scored, so the last step is kept."
        channel.event(message, {"step": step, "kept_step": step, "warning": "validation_unjudged"}, level="warn")
        return step
    if found.best_step != step:
        adapter.load(cast(PeftModel, trainer.model), work.best)
    best, what = report.best(), trainer.judged_by.removeprefix("valid_").replace("_", " ")
    changed, extreme = ("raised", "highest") if trainer.higher_is_better else ("lowered", "lowest")
    enough = f" by more than {found.min_delta:g}" if found.min_delta else ""
    ended = (
        f"Stopped early after step {step} of {total}: none of the last {found.waited} validations {changed} the "
        f"{what}{enough}."
        if report.stopped_early
        else f"All {total} steps are done."
    )
    channel.event(
        f"{ended} Step {found.best_step} is kept, whose validation {what} {best:.4f} is the {extreme}.",
        {"step": step, "kept_step": found.best_step, trainer.judged_by: best, "stopped_early": report.stopped_early},
    )
    return found.best_step


def evaluate(trainer: Tuner, work: Work, channel: Channel, step: int) -> None:
    """Raises Stopped. Any other trouble costs the evaluation, not the adapter."""
    try:
        cast(PeftModel, trainer.model).eval()
        trainer.compare(work, step)
    except Stopped:
        raise
    except Exception as error:  # of torch, of a grader, of us: the adapter is saved already
        traceback.print_exc()
        message = f"The tuned model could not be evaluated ({type(error).__name__}); the adapter is not affected."
        channel.event(message, level="warn")
