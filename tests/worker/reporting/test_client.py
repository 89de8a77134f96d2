"""The real libraries, each in its own process, read back with its own tools."""

import asyncio
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from fettle import methods
from fettle.host.devices import Slot
from fettle.jobs import events
from fettle.settings import Settings
from models import File, Job, JobStatus
from tests.fettle import given
from worker import metrics
from worker.attempts.attempt import Attempt
from worker.attempts.resources import Resources
from worker.jobs.supervisor import supervise
from worker.jobs.training_process import ProcessLauncher
from worker.reporting import client as reports
from worker.reporting.client import Reports

BLOCK = 32768
FIRST = [(1, {"train_loss": 1.5}), (2, {"train_loss": 1.25}), (2, {"valid_loss": 1.3})]
SECOND = [(2, {"train_loss": 1.25}), (3, {"train_loss": 1.0}), (4, {"train_loss": 0.75})]


def wanting(resources: Resources, job: Job, kind: str, **wanted: Any) -> Resources:
    job.integrations = [{"type": kind, kind: wanted}]
    return with_settings(resources, integrations=kind, wandb_mode="offline")


def with_settings(resources: Resources, **changed: Any) -> Resources:
    settings = Settings(**{**resources.settings.model_dump(exclude_unset=True), **changed})
    return Resources(settings, resources.db, resources.storage, resources.models, resources.threads)


async def reported(resources: Resources, job: Job, steps: list[tuple[int, dict[str, float]]]) -> Reports:
    """Feeds the lines as the supervisor does, which also writes them down."""
    running = Reports(Attempt(resources, job))
    await running.start()
    for step, values in steps:
        running.feed({"type": "metrics", "step": step, "total_steps": 4, "data": values})
    async with resources.db.transaction() as session:
        for step, values in steps:
            events.add(session, job.id, "step", type="metrics", data={"step": step, "total_steps": 4, **values})
    return running


async def end(resources: Resources, running: Reports, status: JobStatus) -> list[str]:
    """What the user is told until then."""
    async with resources.db.transaction() as session:
        (await session.get_one(Job, running.attempt.job.id)).status = status
    running.conclude()
    await reports.concluded()
    return [event["message"] for event in running.take_events()]


def offline_history(file: Path) -> list[dict[str, str]]:
    """The history records of a .wandb file: LevelDB's log format after a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    raw, position, pending, found = file.read_bytes(), 7, b"", []
    while position + 7 <= len(raw):
        left = BLOCK - position % BLOCK
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", raw[position : position + 7])
        pending += raw[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = Record.FromString(pending)
            pending = b""
            if record.WhichOneof("record_type") == "history":
                found.append({item.key or item.nested_key[0]: item.value_json for item in record.history.item})
    return found


@pytest.mark.slow
class TestWandb:
    async def test_an_offline_run_holds_every_value_once_over_two_attempts(
        self, resources: Resources, job: Job
    ) -> None:
        resources = wanting(resources, job, "wandb", project="sums", name="first", tags=["a"])
        take_events = await end(resources, await reported(resources, job, FIRST), JobStatus.QUEUED)
        assert take_events[0].startswith("Reporting to Weights & Biases: offline")
        await end(resources, await reported(resources, job, SECOND), JobStatus.SUCCEEDED)
        files = sorted((resources.settings.data / "wandb").glob(f"offline-run-*/run-{job.id}.wandb"))
        rows = [
            {name: float(row[name]) for name in ("_step", "train_loss", "valid_loss") if name in row}
            for file in files
            for row in offline_history(file)
        ]
        assert rows == [
            {"_step": 1, "train_loss": 1.5},
            {"_step": 2, "train_loss": 1.25, "valid_loss": 1.3},
            {"_step": 3, "train_loss": 1.0},
            {"_step": 4, "train_loss": 0.75},
        ]

    async def test_no_account_costs_the_job_only_a_warning(self, resources: Resources, job: Job) -> None:
        resources = with_settings(wanting(resources, job, "wandb", project="sums"), wandb_mode="online")
        running = await reported(resources, job, FIRST)
        await asyncio.wait_for(running.running[0].listening, 60)
        (event,) = running.take_events()
        assert event["level"] == "warn"
        assert event["message"].startswith("Reporting to Weights & Biases has stopped. The job continues. Cause: ")
        assert await running.files() == []


@pytest.mark.slow
class TestTensorboard:
    async def test_the_event_file_is_whole_after_a_resumed_attempt(self, resources: Resources, job: Job) -> None:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        resources = wanting(resources, job, "tensorboard")
        await end(resources, await reported(resources, job, FIRST), JobStatus.QUEUED)
        running = await reported(resources, job, SECOND)
        (file,) = await running.files()
        await end(resources, running, JobStatus.SUCCEEDED)
        read = EventAccumulator(str(file))
        read.Reload()
        curve = [(scalar.step, scalar.value) for scalar in read.Scalars("train_loss")]
        assert curve == [(1, 1.5), (2, 1.25), (3, 1.0), (4, 0.75)]
        assert [scalar.step for scalar in read.Scalars("valid_loss")] == [2]


@pytest.mark.slow
class TestMlflow:
    async def test_one_run_is_found_again_and_ends_as_the_job_does(self, resources: Resources, job: Job) -> None:
        from mlflow.tracking import MlflowClient

        resources = wanting(resources, job, "mlflow", experiment="sums", tags=["nightly"])
        await end(resources, await reported(resources, job, FIRST), JobStatus.QUEUED)
        client = MlflowClient(f"sqlite:///{resources.settings.data.absolute() / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("sums")
        assert experiment is not None
        assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == ["RUNNING"]
        await end(resources, await reported(resources, job, SECOND), JobStatus.FAILED)
        (run,) = client.search_runs([experiment.experiment_id])
        assert run.info.status == "FAILED"
        assert run.data.tags["fettle.job_id"] == job.id
        assert "nightly" in run.data.tags
        assert run.data.params["n_epochs"] == "1"
        curve = [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, "train_loss")]
        assert curve == [(1, 1.5), (2, 1.25), (3, 1.0), (4, 0.75)]


class TestReports:
    async def test_an_integration_that_this_worker_does_not_offer_is_a_warning(
        self, resources: Resources, job: Job
    ) -> None:
        resources = with_settings(wanting(resources, job, "mlflow", experiment="x"), integrations="tensorboard")
        running = Reports(Attempt(resources, job))
        await running.start()
        (event,) = running.take_events()
        assert event["message"].endswith("this worker's FETTLE_INTEGRATIONS does not name it")
        assert running.running == []

    async def test_a_job_without_integrations_starts_no_process(self, resources: Resources, job: Job) -> None:
        running = Reports(Attempt(resources, job))
        await running.start()
        running.feed({"type": "metrics", "step": 1, "total_steps": 1, "data": {"train_loss": 1.0}})
        assert (running.running, await running.files(), running.take_events()) == ([], [], [])

    async def test_a_reporter_that_does_not_read_is_given_up(
        self, resources: Resources, job: Job, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reports, "BACKLOG", 100_000)
        monkeypatch.setattr(reports, "COMMAND", (sys.executable, "-c", "import time; time.sleep(60)"))
        resources = wanting(resources, job, "tensorboard")
        running = Reports(Attempt(resources, job))
        await running.start()
        for step in range(10_000):
            running.feed({"type": "metrics", "step": step, "total_steps": 1, "data": {"train_loss": 1.0}})
        (event,) = running.take_events()
        assert event["message"] == "Reporting to TensorBoard has stopped. The job continues. Cause: it does not keep up"
        await end(resources, running, JobStatus.SUCCEEDED)
        assert running.running[0].process.returncode is not None

    def test_only_what_the_integration_needs_is_in_its_environment(self) -> None:
        settings = Settings(wandb_api_key="w" * 40, mlflow_token="m")
        assert reports.credentials(settings, "wandb") == {"WANDB_API_KEY": "w" * 40}
        assert reports.credentials(settings, "mlflow") == {"MLFLOW_TRACKING_TOKEN": "m"}
        assert reports.credentials(settings, "tensorboard") == {}

    def test_words_and_axes_have_no_place_on_a_chart(self) -> None:
        assert reports.numbers({"step": 3, "total_steps": 9, "train_loss": 1.5, "phase": "warmup"}) == {
            "train_loss": 1.5
        }


@pytest.mark.slow
async def test_a_whole_job_leaves_its_event_file_and_says_where_it_reported(resources: Resources, job: Job) -> None:
    """The real supervisor and training child; the metrics' own registry counts along."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    resources = wanting(resources, job, "tensorboard")
    parameters = {"n_epochs": 1, "batch_size": 2, "learning_rate": 1e-4}
    job.method = methods.resolve(
        methods.SupervisedMethod.model_validate({"type": "supervised", "supervised": {"hyperparameters": parameters}}),
        methods.Given(rows=10, base_parameters=1_670_000, base_length=512),
    )
    before = metrics.runs.labels("published")._value.get(), metrics.steps._value.get()
    await supervise(Attempt(resources, job), ProcessLauncher(warm=False), Slot(), asyncio.Event())
    await reports.concluded()
    assert metrics.runs.labels("published")._value.get() - before[0] == 1
    assert metrics.steps._value.get() - before[1] == 4  # of five: the first one begins the clock
    async with resources.db.snapshot() as session:
        row = await session.get_one(Job, job.id)
        curve = await events.metrics(session, job.id)
        results = [await session.get_one(File, file_id) for file_id in row.result_files]
    said = await given.messages(resources.db, job)
    assert row.status == JobStatus.SUCCEEDED, said
    assert any(line.startswith("Reporting to TensorBoard: tensorboard/") for line in said)
    table, file = results
    assert table.filename.endswith(".csv") and file.filename.startswith("events.out.tfevents")
    path = resources.settings.data / file.filename
    await resources.storage.get_file(file.storage_key, path)
    read = EventAccumulator(str(path))
    read.Reload()
    losses = {scalar.step: scalar.value for scalar in read.Scalars("train_loss")}
    assert losses == pytest.approx({step: values["train_loss"] for step, values in curve.items()}, rel=1e-6)
    assert len(losses) == 5
