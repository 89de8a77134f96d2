"""What a worker tells Prometheus, on FETTLE_WORKER_METRICS_PORT. docs/metrics.md lists every name."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from fettle.observability.metrics import errors
from fettle.settings import Settings

WORKER = CollectorRegistry()

STEPS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)  # seconds
WAITS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)
UPLOADS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

slots = Gauge("fettle_worker_slots", "Jobs that may run at the same time", registry=WORKER)
slots_busy = Gauge("fettle_worker_slots_busy", "Jobs that are running", registry=WORKER)
claim_seconds = Histogram(
    "fettle_worker_claim_seconds", "From create to a job's first claim", buckets=WAITS, registry=WORKER
)
children = Counter("fettle_worker_children_started", "Training processes", registry=WORKER)
runs = Counter("fettle_worker_runs_ended", "Attempts by how they ended", ("outcome",), registry=WORKER)
step_seconds = Histogram("fettle_worker_step_seconds", "Between two steps of a job", buckets=STEPS, registry=WORKER)
steps = Counter("fettle_worker_steps", "Optimiser steps", registry=WORKER)
trained_tokens = Counter("fettle_worker_trained_tokens", "Tokens of the published jobs", registry=WORKER)
checkpoint_seconds = Histogram(
    "fettle_worker_checkpoint_upload_seconds", "Checkpoint from disk to storage", buckets=UPLOADS, registry=WORKER
)
reclaimed = Counter(
    "fettle_worker_leases_reclaimed", "Jobs taken from workers that stopped responding", registry=WORKER
)
rollouts_expired = Counter(
    "fettle_worker_rollouts_expired", "Removed FETTLE_ROLLOUT_DAYS after the end", registry=WORKER
)
report_failures = Counter(
    "fettle_worker_report_failures", "Integrations that stopped before their job", ("integration",), registry=WORKER
)
grader_errors = Counter(
    "fettle_worker_grader_errors", "Completions that a grader failed on, by OpenAI's flag", ("flag",), registry=WORKER
)

WORKER.register(errors)
OUTCOMES = ("published", "failed", "drained", "fenced", "lost")
for outcome in OUTCOMES:
    runs.labels(outcome)


def serve(settings: Settings, jobs_at_once: int) -> None:
    """From a thread of its own; nothing without a port."""
    slots.set(jobs_at_once)
    if settings.worker_metrics_port is not None:
        start_http_server(settings.worker_metrics_port, settings.worker_metrics_host, WORKER)


class Pace:
    """Time between a job's steps, from its metrics lines; a validation's line is no step."""

    def __init__(self) -> None:
        self.last: tuple[int, float] | None = None

    def see(self, step: int, now: float) -> None:
        if self.last is None:
            self.last = step, now
            return
        gone = step - self.last[0]
        if gone > 0:
            steps.inc(gone)
            step_seconds.observe((now - self.last[1]) / gone)
            self.last = step, now
