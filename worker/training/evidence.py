"""What a run can show for itself when it ends: the rows it was trained on, how its adapter moved, its probe rows."""

from typing import Any, cast

from peft import PeftModel

from fettle.errors import TrainingFailed
from fettle.methods import METHODS
from worker.training import probe
from worker.training.callback import Report
from worker.training.model import device
from worker.training.process.job_spec import Work
from worker.training.trainer import Tuner


def gathered(tuner: Tuner, report: Report, work: Work, step: int) -> dict[str, Any]:
    """For the supervisor, which judges it. Only of the first rank. step: whose adapter is published.

    Raises TrainingFailed when the whole run had nothing to learn from.
    """
    counts = report.counts_of(step)
    movement = report.watch.found(counts)
    refuse_nothing_learned(tuner, report, movement)
    source = tuner.source
    network = cast(PeftModel, tuner.model)
    plan = device.plan(work, 1)
    rows = probe.cut(tuner.probe_rows)
    bf16 = plan.precision == "bf16"
    measured = probe.measure(network, rows, scores=tuner.is_reward_model, bf16=bf16, ends=ends_of(tuner))
    if not probe.defined(measured["tuned"]):
        raise TrainingFailed(
            "diverged",
            f"Training diverged: the adapter of step {step} gives values on rows of the training file that are not "
            "finite. Lower learning_rate and start the job again.",
            "learning_rate",
        )
    return {
        "evidence": {
            "unit": "sequences" if source.split else METHODS[work.method].unit,
            "rows_in_file": source.rows,
            "examples": source.examples,
            "left_out": source.lines.to_json(),
            "kept": source.kept,
            "visits": report.visits,
            "epochs": tuner.work.hyperparameters["n_epochs"],
            "stopped_early": report.stopped_early,
            "supervised_tokens": source.supervised_tokens,
            "supervised_tokens_trained": report.lessons,
            **movement,
        },
        "probe": {
            "rows": rows,
            "conversations": tuner.probe_conversations,
            "scores": tuner.is_reward_model,
            "precision": plan.precision,
            "quantization": tuner.work.hyperparameters.get("quantization"),
            **measured,
        },
    }


def ends_of(tuner: Tuner) -> frozenset[int]:
    """Tokens that end a completion: an engine says nothing of them."""
    network = cast(PeftModel, tuner.model)
    known = getattr(getattr(network, "generation_config", None), "eos_token_id", None)  # a reward model has no such
    own = getattr(tuner.processing_class, "eos_token_id", None)
    every = [own, *(known if isinstance(known, list) else [known])]
    return frozenset(token for token in every if token is not None)


def refuse_nothing_learned(tuner: Tuner, report: Report, movement: dict[str, Any]) -> None:
    steps = movement["optimizer_steps"]
    if not steps or report.incomplete:
        return
    if report.judged == 1 and not report.taught:  # one batch of completions may be bad luck; several are not
        report.channel.event(
            f"The adapter has not changed: {tuner.no_spread} in the job's only step. {tuner.nothing_learned}",
            level="warn",
        )
        return
    if report.judged and not report.taught:
        raise TrainingFailed(
            "nothing_learned",
            f"Nothing was learned: {tuner.no_spread} in all {report.judged:,} steps ({report.loss_summary()}). "
            f"{tuner.nothing_learned}",
            tuner.judged_param,
        )
    if movement["steps_with_gradient"] == 0 and movement["moved"] == 0:
        raise TrainingFailed(
            "nothing_learned",
            f"Nothing was learned: the gradient was 0 in all {steps:,} steps, so that no weight of the adapter has "
            f"changed ({report.loss_summary()}). {tuner.nothing_learned}",
            "training_file",
        )
