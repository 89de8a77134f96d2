"""One attempt's rollouts: scored by the job's scorer, answered to the child, and every one of them stored."""

import asyncio
import time
from typing import Any

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import artifacts, events, first_look, ids, reward_versions, rollout_summaries, rollouts
from fettle.errors import TrainingFailed
from fettle.specs.reinforcement import MAX_GRADER_ERRORS
from models import Job, RewardVersion, RolloutChunk
from worker import publishing
from worker.children import Child
from worker.held import Held
from worker.ledger import read, write
from worker.patience import patiently, tell
from worker.reward_watch import RewardWatch
from worker.scorer import Scorer, Unopened

TRACEBACKS_SHOWN, TRACEBACK_SHOWN = 3, 1000  # and characters of each

Line = dict[str, Any]


class Rollouts:
    """Scores one batch at a time, beside the supervisor's relay: a slow grader stops no heartbeat."""

    def __init__(self, held: Held, job: Job, child: Child) -> None:
        self.held, self.job, self.child = held, job, child
        self.scorer = Scorer()
        self.scoring: asyncio.Task[None] | None = None
        self.refused = 0  # the newest version that cannot be opened
        self.version: RewardVersion | None = None
        self.errors_at_most = errors_at_most(job)
        self.looked = 0  # the version of the rewards at which a first look was taken, or was not due
        self.graded = self.failed = 0  # by the version in force
        self.samples: list[str] = []  # of what graders said when they failed
        self.watch: RewardWatch | None = None
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
        batch, before = line["rollouts"], self.version
        scores = await self._scores(batch)
        assert self.version is not None  # noqa: S101 — it has just scored
        if before is not None and before.version != self.version.version:
            self.graded = self.failed = 0
            self.samples = []
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
        if line["purpose"] == "train":
            await self._look(line, time.monotonic() - began)

    async def _look(self, line: Line, seconds: float) -> None:
        """Tells what the first batch that a version of the rewards has judged would teach."""
        assert self.version is not None  # noqa: S101 — it has just scored
        first = line["step"] == 1 or self.looked not in (0, self.version.version)
        self.looked = self.version.version
        if not first:
            return
        seen = first_look.look(self.rows)
        highest = first_look.highest(self.version.graders)
        warnings = first_look.warnings(seen, highest=highest, errors_at_most=self.errors_at_most)
        written = f"written in {line['seconds']:.1f} s, " if line.get("seconds") is not None else ""
        message = (
            f"First look, step {line['step']}: {first_look.sentence(seen)}; {seen.completions} completions, "
            f"{written}scored in {seconds:.1f} s."
        )
        data = {"step": line["step"], "generation_seconds": line.get("seconds"), "scoring_seconds": seconds}

        def change(session: AsyncSession, job: Job) -> None:
            events.add(session, job.id, message, data=data | seen.to_json())
            for code, why in warnings:
                events.add(session, job.id, why, level="warn", data={"warning": code, "step": line["step"]})

        await write(self.held, self.job, change)

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
                for name, error in score["errors"].items():
                    said = f"{name}: {shortened(error['message'])}"
                    if len(self.samples) < TRACEBACKS_SHOWN and said not in self.samples:
                        self.samples.append(said)
        if self.failed > self.errors_at_most * self.graded:
            shown = "\n".join(self.samples)
            raise TrainingFailed(
                "graders_failed",
                f"The graders failed on {self.failed} of {self.graded} completions; max_grader_errors allows "
                f"{self.errors_at_most:.0%}. What they said, for example:\n{shown}",
                "max_grader_errors",
            )

    async def store(self, line: Line) -> None:
        """Puts the batch that was scored last, with its advantages, into storage and the index. Raises Fenced."""
        rows, self.rows = self.rows, []
        if not rows:
            return
        step = line["step"]
        unknown = [None] * len(rows)  # without a reference there is nothing to be far from
        for row, advantage, kl in zip(rows, line["advantages"], line.get("kl") or unknown, strict=True):
            row["advantage"], row["kl"] = advantage, kl
        table = await asyncio.to_thread(rollouts.to_parquet, rows)
        assert self.version is not None  # noqa: S101 — it has judged them
        summary = rollout_summaries.of_step(rows, self.version.graders)
        warnings = (await self._watch(step)).see(summary)
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
                    summary=summary,
                    storage_key=key,
                )
            )
            for code, message in warnings:
                events.add(session, job.id, message, level="warn", data={"warning": code, "step": step})

        await write(self.held, self.job, change)

    async def _watch(self, step: int) -> RewardWatch:
        """With all of the job's steps before this one in mind."""
        if self.watch is None:
            earlier = await read(
                self.held, self.job, lambda session: rollout_summaries.earlier(session, self.job.id, step)
            )
            self.watch = RewardWatch()
            for summary in earlier:
                self.watch.see(summary)
        return self.watch

    async def close(self) -> None:
        if self.scoring is not None:
            self.scoring.cancel()
            await asyncio.gather(self.scoring, return_exceptions=True)
        await self.scorer.close()


def errors_at_most(job: Job) -> float:
    """The share of the completions on which graders may fail."""
    hyperparameters = job.method[job.method["type"]]["hyperparameters"]
    return float(hyperparameters.get("max_grader_errors", MAX_GRADER_ERRORS))


def shortened(message: str) -> str:
    """A traceback's end says what went wrong, its beginning where."""
    message = message.strip()
    if len(message) <= TRACEBACK_SHOWN:
        return message
    return f"{message[: TRACEBACK_SHOWN // 2]}\n…\n{message[-TRACEBACK_SHOWN // 2 :]}"
