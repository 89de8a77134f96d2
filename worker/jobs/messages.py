"""Turns the messages of a training process into rows: metrics in batches, checkpoints and evaluations as they come."""

import asyncio
import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from fettle.errors import TrainingFailed
from fettle.jobs import events
from fettle.methods import METHODS
from fettle.registry import tuned_models
from models import Job
from worker import metrics
from worker.attempts.attempt import Attempt
from worker.jobs import publishing
from worker.jobs.stall_watch import StallWatch
from worker.jobs.step_progress import StepProgress
from worker.jobs.training_process import Child, describe_exit
from worker.reporting.client import Reports
from worker.rewards.rollout_recorder import RolloutRecorder

FLUSH_SECONDS = 0.25  # metrics reach the database in batches

Line = dict[str, Any]


class TrainingCrashed(Exception):
    """The training process ended without a last message. Another attempt may succeed."""


class RunHalted(Exception):
    """The run was stopped. A process that had trained left a checkpoint."""


async def process_messages(
    attempt: Attempt, folder: Path, child: Child, reports: Reports, halt: asyncio.Event, recorder: RolloutRecorder
) -> Line:
    """Returns the last line when the process is done. Raises TrainingFailed, TrainingCrashed, RunHalted or Fenced."""
    pending: list[Line] = []
    flushed = time.monotonic()
    first: tuple[int, float] | None = None  # the first step that we saw, and when
    end: Line | None = None
    score_seen: Line | None = None
    pace = metrics.Pace()
    inside = StepProgress(began=flushed)
    stall = StallWatch(attempt.settings.stall_seconds, flushed)
    async for line in child.lines(pause=FLUSH_SECONDS):
        recorder.check()
        if line is not None:
            inside.see(line, time.monotonic())
        inside.see_scorer(scored := recorder.grader.scorer.progress)
        match line:
            case None:
                pass
            case {"type": "event" | "metrics" as kind}:
                pending.append(line)
                reports.feed(line)
                if kind == "metrics":
                    pace.see(line["step"], time.monotonic())
            case {"type": "checkpoint"}:
                await flush(attempt, pending, None)
                with metrics.checkpoint_seconds.time():
                    await publishing.publish_checkpoint(attempt, folder / line["path"], line)
                await asyncio.to_thread(shutil.rmtree, folder / line["path"])
            case {"type": "reward_model"}:
                await flush(attempt, pending, None)
                await publishing.publish_reward_model(attempt, folder / line["path"], line.get("proof"))
            case {"type": "hyperparameters"}:
                await attempt.write(partial(resolved_anew, line))
            case {"type": "evaluation"}:
                await flush(attempt, pending, None)
                await publishing.publish_evaluation(attempt, line["data"])
            case {"type": "score"}:
                recorder.score(line)
            case {"type": "call_tools"}:
                recorder.call(line)
            case {"type": "rollouts"}:
                await recorder.store(line)
            case {"type": "done" | "stopped" | "error"}:
                end = line
        if line is not None or scored != score_seen:
            score_seen = scored
            stall.hear(time.monotonic())  # after it was handled: what we wait for ourselves is no silence of its own
        if silence := stall.verdict(time.monotonic()):
            why = stall.sentence(time.monotonic())
            if silence == "end":
                raise TrainingCrashed(why)
            pending.append({"type": "event", "level": "warn", "message": f"{why}.", "data": None})
        if halt.is_set() and pace.last is None and end is None:
            raise RunHalted  # it has nothing to save yet, and reads no messages while it loads or tokenises
        pending += reports.take_events()
        if slow := inside.to_tell(time.monotonic()):
            pending.append({"type": "event", "level": "info", "message": slow[0], "data": slow[1]})
        if shown := inside.to_store(time.monotonic()):
            await store_progress(attempt, shown)
        if pending and (line is None or time.monotonic() - flushed > FLUSH_SECONDS):
            step, total = progress(pending)
            flushed = time.monotonic()
            if total and first is None and not before_policy(pending):
                first = step, flushed
            await flush(attempt, pending, finish_time(first, (step, flushed), total))
    pending += reports.take_events()
    await flush(attempt, pending, None)
    code = await child.exit_code()
    if end is None:
        raise TrainingCrashed(describe_exit(code))
    if end["type"] == "stopped":
        raise RunHalted
    if end["type"] == "error":
        raise TrainingFailed(end["code"], end["message"], end.get("param"))
    return end


def resolved_anew(line: Line, _: AsyncSession, row: Job) -> None:
    """Puts what `auto` came to on the rows that remained into the job."""
    kind = row.method["type"]
    asked = row.method[kind]
    row.method = {**row.method, kind: {**asked, line["of"]: {**asked[line["of"]], **line["values"]}}}


def finish_time(first: tuple[int, float] | None, now: tuple[int, float], total: int) -> float | None:
    """When the last step will be done, at the pace since the first one; None until there is a pace."""
    if first is None or now[0] <= first[0]:
        return None
    pace = (now[1] - first[1]) / (now[0] - first[0])
    return time.time() + pace * (total - now[0])


def before_policy(lines: list[Line]) -> bool:
    """Whether the newest step is one of a reward model; how long those of the policy take is not known yet."""
    phases = [line["data"].get("phase") for line in lines if line["type"] == "metrics"]
    return bool(phases) and phases[-1] == tuned_models.REWARD_MODEL


def progress(lines: list[Line]) -> tuple[int, int]:
    """(step, total steps) of the newest metrics line; (0, 0) without one."""
    for line in reversed(lines):
        if line["type"] == "metrics":
            return line["step"], line["total_steps"]
    return 0, 0


async def store_progress(attempt: Attempt, shown: Line) -> None:
    def change(session: AsyncSession, row: Job) -> None:
        row.progress = shown

    await attempt.write(change)


async def flush(attempt: Attempt, pending: list[Line], estimated_finish: float | None) -> None:
    """Empties `pending` into the database."""
    if not pending:
        return

    def change(session: AsyncSession, row: Job) -> None:
        for line in pending:
            add_event(session, row, line)
        row.estimated_finish = estimated_finish or row.estimated_finish

    await attempt.write(change)
    pending.clear()


def add_event(session: AsyncSession, job: Job, line: Line) -> None:
    if line["type"] == "event":
        events.add(session, job.id, line["message"], level=line["level"], data=line.get("data"))
        return
    step, total, values = line["step"], line["total_steps"], line["data"]
    reported = METHODS[job.method["type"]].reported
    shown = ", ".join(f"{in_openai_words(name)}={values[name]:.4f}" for name in reported if name in values)
    data = {"step": step, "total_steps": total, **values}
    events.add(session, job.id, f"Step {step}/{total}: {shown}", type="metrics", data=data)


def in_openai_words(metric: str) -> str:
    """ "Step 3/9: training loss=0.5000, validation loss=0.6000": scripts find the losses in messages by these words."""
    first, _, rest = metric.partition("_")
    return " ".join([{"train": "training", "valid": "validation"}.get(first, first), *rest.split("_")]).strip()
