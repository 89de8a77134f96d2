"""Graders that fail: how often they did, what they said, and when a run has had enough of it."""

from collections.abc import Sequence
from typing import Any

from fettle.errors import TrainingFailed
from fettle.methods.reinforcement import MAX_GRADER_ERRORS
from models import Job
from worker import metrics
from worker.rewards.job_grader import clean

TRACEBACKS_SHOWN, TRACEBACK_SHOWN = 3, 1000  # and characters of each


class GraderErrors:
    """at_most: the share of the completions on which graders may fail."""

    def __init__(self, at_most: float) -> None:
        self.at_most = at_most
        self.start()

    def start(self) -> None:
        """Counts from here on: other rewards judge."""
        self.graded = self.failed = 0
        self.samples: list[str] = []  # of what graders said when they failed

    def count(self, scores: Sequence[dict[str, Any]]) -> None:
        """Raises TrainingFailed past the share of errors that a run may have."""
        self.graded += len(scores)
        for score in scores:
            for flag in {error["flag"] for error in score["errors"].values()}:
                metrics.grader_errors.labels(flag).inc()
            if score["reward"] is None:
                self.failed += 1
                for name, error in score["errors"].items():
                    said = f"{name}: {shortened(error['message'])}"
                    if len(self.samples) < TRACEBACKS_SHOWN and said not in self.samples:
                        self.samples.append(said)
        if self.failed > self.at_most * self.graded:
            shown = "\n".join(self.samples)
            raise TrainingFailed(
                "graders_failed",
                f"The graders failed on {self.failed} of {self.graded} completions. max_grader_errors allows "
                f"{self.at_most:.0%}. Errors of the graders:\n{clean(shown)}",
                "max_grader_errors",
            )


def allowed(job: Job) -> float:
    """The share of the completions on which graders may fail."""
    hyperparameters = job.method[job.method["type"]]["hyperparameters"]
    return float(hyperparameters.get("max_grader_errors", MAX_GRADER_ERRORS))


def shortened(message: str) -> str:
    """A traceback's end says what went wrong, its beginning where."""
    message = message.strip()
    if len(message) <= TRACEBACK_SHOWN:
        return message
    return f"{message[: TRACEBACK_SHOWN // 2]}\n…\n{message[-TRACEBACK_SHOWN // 2 :]}"
