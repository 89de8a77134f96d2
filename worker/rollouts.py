"""One attempt's rollouts: scored by the job's scorer, answered to the child, and every one of them stored."""

import asyncio
import time
from typing import Any

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import artifacts, ids, reward_versions, rollouts
from fettle.errors import TrainingFailed
from models import Job, RewardVersion, RolloutChunk
from worker import publishing
from worker.children import Child
from worker.held import Held
from worker.ledger import read, write
from worker.patience import patiently, tell
from worker.scorer import Scorer, Unopened

ERRORS_AT_MOST = 0.2  # of the completions graded so far
TRACEBACKS_SHOWN = 3

Line = dict[str, Any]


class Rollouts:
    """Scores one batch at a time, beside the supervisor's relay: a slow grader stops no heartbeat."""

    def __init__(self, held: Held, job: Job, child: Child) -> None:
        self.held, self.job, self.child = held, job, child
        self.scorer = Scorer()
        self.scoring: asyncio.Task[None] | None = None
        self.refused = 0  # the newest version that cannot be opened
        self.version: RewardVersion | None = None
        self.graded = self.failed = 0
        self.samples: list[str] = []  # of what graders said when they failed
        self.rows: list[Line] = []  # the batch that waits for its advantages

    def score(self, line: Line) -> None:
        self.scoring = asyncio.create_task(self._score(line))

    def check(self) -> None:
        """Raises what went wrong in scoring."""
        if self.scoring is not None and self.scoring.done():
            self.scoring.result()

    async def _score(self, line: Line) -> None:
        """Raises TrainingFailed when the graders cannot be opened, or fail too often."""
        began = time.monotonic()
        batch = line["rollouts"]
        scores = await self._scores(batch)
        assert self.version is not None  # noqa: S101 — it has just scored
        self._count(scores)
        if line["purpose"] == "train":
            self.rows = [
                rollouts.row(line["step"], index, rollout, score, self.version.version)
                for index, (rollout, score) in enumerate(zip(batch, scores, strict=True))
            ]
        names = list(dict.fromkeys(name for score in scores for name in score["scores"]))
        self.child.say(
            {
                "type": "scored",
                "rewards": [score["reward"] for score in scores],
                "scores": {name: [score["scores"].get(name) for score in scores] for name in names},
                "version": self.version.version,
                "seconds": time.monotonic() - began,
            }
        )

    async def _scores(self, batch: list[Line]) -> list[Line]:
        """By the newest version; one that cannot be opened leaves the one before in force, and says so."""
        newest = await read(self.held, self.job, lambda session: reward_versions.newest(session, self.job.id))
        if newest is None:
            raise TrainingFailed("no_rewards", "The job has no rewards to learn from.")
        before, self.version = self.version, self.version if newest.version == self.refused else newest
        if self.version is None:
            raise TrainingFailed("graders_failed", "The graders cannot be opened.")
        try:
            return await self.scorer.score(self.version.version, self.version.graders, batch)
        except Unopened as error:
            if before is None or before.version == self.version.version:
                raise TrainingFailed("graders_failed", f"The graders cannot be opened: {error}") from error
            why = f"Rewards version {newest.version} cannot be opened, version {before.version} stays: {error}"
            await tell(self.held, self.job, why, "warn")
            self.refused, self.version = newest.version, before
            return await self.scorer.score(before.version, before.graders, batch)

    def _count(self, scores: list[Line]) -> None:
        """Raises TrainingFailed past the share of errors that a run may have."""
        self.graded += len(scores)
        for score in scores:
            if score["reward"] is None:
                self.failed += 1
                said = [f"{name}: {error['message']}" for name, error in score["errors"].items()]
                self.samples += [text for text in said if text not in self.samples][:TRACEBACKS_SHOWN]
        if self.failed > ERRORS_AT_MOST * self.graded:
            shown = "\n".join(self.samples[:TRACEBACKS_SHOWN])
            raise TrainingFailed(
                "graders_failed",
                f"The graders failed on {self.failed} of {self.graded} completions; at most "
                f"{ERRORS_AT_MOST:.0%} may fail. What they said, for example:\n{shown}",
                "method.reinforcement",
            )

    async def store(self, line: Line) -> None:
        """Puts the batch that was scored last, with its advantages, into storage and the index. Raises Fenced.

        A batch that the child has scored itself comes whole.
        """
        step = line["step"]
        if "rollouts" in line:
            rows = [rollouts.row(step, index, each, each, None) for index, each in enumerate(line["rollouts"])]
        else:
            rows, self.rows = self.rows, []
            for row, advantage in zip(rows, line["advantages"], strict=True):
                row["advantage"] = advantage
        if not rows:
            return
        table = await asyncio.to_thread(rollouts.to_parquet, rows)
        key = f"{publishing.prefix(self.job)}/rollouts/step-{step:06d}.parquet"
        await patiently(self.held, self.job, lambda: artifacts.put_bytes(self.held.storage, key, table))

        async def change(session: AsyncSession, job: Job) -> None:
            same = (RolloutChunk.job_id == job.id, RolloutChunk.step == step)
            await session.execute(delete(RolloutChunk).where(*same))  # of an attempt that died after this step
            session.add(
                RolloutChunk(
                    id=ids.new("rollouts-"),
                    job_id=job.id,
                    step=step,
                    rows=len(rows),
                    summary=rollouts.summary(rows),
                    storage_key=key,
                )
            )

        await write(self.held, self.job, change)

    async def close(self) -> None:
        if self.scoring is not None:
            self.scoring.cancel()
            await asyncio.gather(self.scoring, return_exceptions=True)
        await self.scorer.close()
