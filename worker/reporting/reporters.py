"""What each integration does with a run's metrics. Each integration has a process of its own.

A resumed job reports into the run that it began, whose id is the job's.
"""

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol


@dataclass(frozen=True)
class Line:
    """One step's metrics. old: an earlier attempt at this job has reported them already."""

    step: int
    values: dict[str, float]
    old: bool = False


@dataclass(frozen=True)
class Run:
    """A job, as a reporter sees it. wanted: the user's own settings of the integration."""

    job_id: str
    created_at: float
    config: dict[str, Any]
    wanted: dict[str, Any]
    folder: Path
    mode: str
    uri: str


class Reporter(Protocol):
    def begin(self, run: Run) -> str:
        """Where the run can be looked at, for people."""
        ...

    def log(self, lines: Sequence[Line]) -> None: ...

    def flush(self) -> list[Path]:
        """Writes everything to disk. Returns the files that become result files of the job."""
        ...

    def end(self, status: str) -> None:
        """status: succeeded, failed, cancelled, or interrupted, after which another attempt may follow."""
        ...


class Wandb:
    """https://docs.wandb.ai/models/track; offline runs are sent later with `wandb sync`."""

    def begin(self, run: Run) -> str:
        os.environ |= {"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}
        import wandb

        (run.folder / "wandb").mkdir(parents=True, exist_ok=True)
        quiet = wandb.Settings(  # the metrics alone: this process is not the one that trains
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
        )
        self.run = wandb.init(
            project=run.wanted["project"],
            entity=run.wanted.get("entity"),
            name=run.wanted.get("name") or run.job_id,
            tags=run.wanted.get("tags") or None,
            id=run.job_id,
            config=run.config,
            dir=str(run.folder),
            mode="offline" if run.mode == "offline" else "online",
            resume=None if run.mode == "offline" else "allow",
            settings=quiet,
        )
        if run.mode == "offline":
            return f"offline; the operator sends it with `wandb sync {Path(self.run.dir).parent.name}`"
        return self.run.url or "online"

    def log(self, lines: Sequence[Line]) -> None:
        for line in lines:
            if not line.old:
                self.run.log(line.values, step=line.step)

    def flush(self) -> list[Path]:
        return []

    def end(self, status: str) -> None:
        if status == "interrupted":
            self.run.mark_preempting()
        self.run.finish(exit_code=0 if status == "succeeded" else 1)


class Tensorboard:
    """One event file a job, whole after every attempt: `tensorboard --logdir` shows it while the job runs."""

    def begin(self, run: Run) -> str:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.folder = run.folder / "tensorboard" / run.job_id
        shutil.rmtree(self.folder, ignore_errors=True)  # an earlier attempt's; its steps come once more, as old ones
        self.writer = EventFileWriter(str(self.folder), flush_secs=5)
        return (
            f"{self.folder.relative_to(run.folder)} in the data folder. The event file becomes a result file of the job"
        )

    def log(self, lines: Sequence[Line]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        for line in lines:
            values = [Summary.Value(tag=name, simple_value=value) for name, value in line.values.items()]
            self.writer.add_event(Event(wall_time=time.time(), step=line.step, summary=Summary(value=values)))

    def flush(self) -> list[Path]:
        self.writer.flush()
        return sorted(self.folder.iterdir())

    def end(self, status: str) -> None:
        self.writer.close()


class Mlflow:
    """https://mlflow.org/docs/latest/ml/tracking; the run is found again by its tag."""

    BATCH = 1000  # metrics that the tracking server takes at once
    ENDS: ClassVar = {"succeeded": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}
    TAG = "fettle.job_id"

    def begin(self, run: Run) -> str:
        os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        from mlflow.tracking import MlflowClient

        self.client = MlflowClient(run.uri)
        name = run.wanted["experiment"]
        found = self.client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self.client.create_experiment(name)
        runs = self.client.search_runs([experiment], f"tags.`{self.TAG}` = '{run.job_id}'", max_results=1)
        if runs:
            self.run_id = runs[0].info.run_id
            self.client.set_terminated(self.run_id, "RUNNING")
        else:
            tags = {self.TAG: run.job_id, **dict.fromkeys(run.wanted.get("tags") or [], "")}
            label = run.wanted.get("name") or run.job_id
            made = self.client.create_run(experiment, start_time=int(run.created_at * 1000), tags=tags, run_name=label)
            self.run_id = made.info.run_id
            for key, value in run.config.items():
                self.client.log_param(self.run_id, key, value)
        return f"experiment {name!r}, run {self.run_id}"

    def log(self, lines: Sequence[Line]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(name, value, now, line.step) for line in lines if not line.old for name, value in line.values.items()
        ]
        for start in range(0, len(metrics), self.BATCH):
            self.client.log_batch(self.run_id, metrics=metrics[start : start + self.BATCH])

    def flush(self) -> list[Path]:
        return []

    def end(self, status: str) -> None:
        if status in self.ENDS:
            self.client.set_terminated(self.run_id, self.ENDS[status])


REPORTERS: dict[str, type[Reporter]] = {"wandb": Wandb, "tensorboard": Tensorboard, "mlflow": Mlflow}
