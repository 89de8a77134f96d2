"""One attempt's rollouts: scored by the job's scorer, answered to the child, and every one of them stored."""

import asyncio
import time
from typing import Any, Protocol

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids
from fettle.errors import TrainingFailed
from fettle.jobs import events, reward_versions
from fettle.rewards import diagnostics
from fettle.rollouts import rows as stored
from fettle.rollouts import summaries
from fettle.storage import artifacts
from fettle.tenancy import quotas
from models import Job, RewardVersion, RolloutChunk
from worker.attempts.attempt import Attempt
from worker.rewards import error_budget
from worker.rewards.error_budget import GraderErrors
from worker.rewards.hacking_watch import HackingWatch
from worker.rewards.job_grader import JobGrader, clean
from worker.rewards.learning_watch import LearningWatch

EVERY_STEP = 2**31 - 1

Line = dict[str, Any]


class Child(Protocol):
    """The training process, as far as rollouts concern it."""

    def say(self, line: Line) -> None: ...


class RolloutRecorder:
    """Scores one batch at a time, beside the supervisor's relay: a slow grader stops no heartbeat."""

    def __init__(self, attempt: Attempt, child: Child) -> None:
        self.attempt, self.child = attempt, child
        self.grader = JobGrader(attempt)
        self.errors = GraderErrors(error_budget.allowed(attempt.job))
        self.scoring: asyncio.Task[None] | None = None
        self.version: RewardVersion | None = None  # of the rewards, that judged the newest batch
        self.reported_version = 0  # the version of the rewards at which a first look was taken, or was not due
        self.watches: tuple[HackingWatch, LearningWatch] | None = None
        self.rows: list[Line] = []  # the batch that waits for its advantages
        self.full = False  # the project's quota of bytes; the job's owner knows

    def open(self) -> None:
        """Opens the graders while the child loads: what this machine cannot run ends the job before it has trained."""
        self.scoring = asyncio.create_task(self._open())

    def score(self, line: Line) -> None:
        self.scoring = asyncio.create_task(self._score(line, self.scoring))

    def call(self, line: Line) -> None:
        self.scoring = asyncio.create_task(self._call(line, self.scoring))

    def check(self) -> None:
        """Raises what went wrong in scoring."""
        if self.scoring is not None and self.scoring.done():
            self.scoring.result()

    async def _open(self) -> None:
        """Raises TrainingFailed when the graders, or the tools, of a job that has some cannot be opened."""
        if await self.attempt.read(lambda session: reward_versions.newest(session, self.attempt.job.id)) is not None:
            await self.grader.score([])
        if "tools" in self.attempt.job.method.get(self.attempt.job.method["type"], {}):
            await self.grader.call([])

    async def _call(self, line: Line, earlier: "asyncio.Task[None] | None") -> None:
        """Raises TrainingFailed when the tools cannot be opened."""
        if earlier is not None:
            await earlier  # the scorer hears one at a time
        self.child.say({"type": "called", "results": await self.grader.call(line["calls"])})

    async def _score(self, line: Line, earlier: "asyncio.Task[None] | None") -> None:
        """Raises TrainingFailed when the graders cannot be opened, or fail too often."""
        if earlier is not None:
            await earlier  # the scorer hears one at a time
        began = time.monotonic()
        batch, before = line["rollouts"], self.version
        self.version, scores = await self.grader.score(batch)
        if before is not None and before.version != self.version.version:
            self.errors.start()
        self.errors.count(scores)
        if line["purpose"] == "train":
            self.rows = [
                stored.row(line["step"], index, rollout, score, self.version.version)
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
            await self._report_rewards(line, time.monotonic() - began)

    async def _report_rewards(self, line: Line, seconds: float) -> None:
        """Tells what the first batch that a version of the rewards has judged would teach."""
        assert self.version is not None  # noqa: S101 — it has just scored
        first = line["step"] == 1 or self.reported_version not in (0, self.version.version)
        self.reported_version = self.version.version
        if not first:
            return
        seen = diagnostics.diagnose(self.rows)
        highest = diagnostics.highest(self.version.graders)
        warnings = diagnostics.warnings(seen, highest=highest, errors_at_most=self.errors.at_most)
        generated = f"generated in {line['seconds']:.1f} s, " if line.get("seconds") is not None else ""
        message = (
            f"Rewards at step {line['step']}: {diagnostics.sentence(seen)}; {seen.completions} completions, "
            f"{generated}scored in {seconds:.1f} s."
        )
        data = {"step": line["step"], "generation_seconds": line.get("seconds"), "scoring_seconds": seconds}

        def change(session: AsyncSession, job: Job) -> None:
            events.add(session, job.id, message, data=data | seen.to_json())
            for code, why in warnings:
                events.add(session, job.id, why, level="warn", data={"warning": code, "step": line["step"]})

        await self.attempt.write(change)

    async def store(self, line: Line) -> None:
        """Puts the batch that was scored last, with its advantages, into storage and the index. Raises Fenced.

        What an attempt that died had stored of this step and later ones is forgotten: it was not learned from. A batch
        that the child has scored itself, by a reward model, comes whole.
        """
        step, graders = line["step"], []
        if "rollouts" in line:
            rows = [stored.row(step, index, each, each, None) for index, each in enumerate(line["rollouts"])]
        else:
            rows, self.rows = self.rows, []
            unknown = [None] * len(rows)  # without a reference there is nothing to be far from
            for row, advantage, kl in zip(rows, line["advantages"], line.get("kl") or unknown, strict=True):
                row["advantage"], row["kl"] = advantage, kl
            graders = self.version.graders if self.version else []
        if not rows:
            return
        table = await asyncio.to_thread(stored.to_parquet, rows)
        summary = summaries.of_step(rows, graders)
        warnings = [warn for watch in await self._watches(step) for warn in watch.see(summary)]
        key = f"{self.attempt.prefix}/rollouts/step-{step:06d}.parquet"
        kept = await self._fit(step, len(table))
        if kept:
            await self.attempt.retry(lambda: artifacts.put_bytes(self.attempt.storage, key, table))

        async def change(session: AsyncSession, job: Job) -> None:
            undone = (RolloutChunk.job_id == job.id, RolloutChunk.step >= step)
            await session.execute(delete(RolloutChunk).where(*undone))
            if kept:
                session.add(
                    RolloutChunk(
                        id=ids.new("rollouts-"),
                        job_id=job.id,
                        step=step,
                        rows=len(rows),
                        summary=summary,
                        storage_key=key,
                        bytes=len(table),
                    )
                )
            for code, message in warnings:
                events.add(session, job.id, message, level="warn", data={"warning": code, "step": step})

        await self.attempt.write(change)

    async def _fit(self, step: int, size: int) -> bool:
        """Whether the project's quota has room for them. The job goes on without, and says so once. Raises Fenced."""
        limits = quotas.defaults(self.attempt.settings)
        project = self.attempt.job.project_id
        fits = await self.attempt.read(lambda session: quotas.rollouts_fit(session, project, size, limits))
        if not fits and not self.full:
            message = (
                f"The rollouts of step {step} were not kept because the project's quota 'bytes' is full. Training "
                "continues. Delete some files to keep the rollouts of later steps."
            )
            data = {"warning": "rollouts_not_kept", "step": step}

            await self.attempt.tell(message, "warn", data)
        self.full = not fits
        return fits

    async def conclude(self) -> None:
        """Tells what the job's steps taught nothing. Raises TrainingFailed when no completion at all was judged."""
        _, learning = await self._watches(EVERY_STEP)
        if learning.nothing_judged:
            samples = "\n".join(self.errors.samples)
            raise TrainingFailed(
                "nothing_judged",
                f"The graders failed on all {learning.completions} completions of the job, so the model learned "
                f"nothing. Fix the graders and start the job again. A max_grader_errors below 1 stops such a job early."
                + (f" Errors of the graders:\n{clean(samples)}" if samples else ""),
                "max_grader_errors",
            )
        warnings = learning.conclude()

        def change(session: AsyncSession, job: Job) -> None:
            for code, message in warnings:
                events.add(session, job.id, message, level="warn", data={"warning": code, "steps": learning.steps})

        if warnings:
            await self.attempt.write(change)

    async def _watches(self, step: int) -> tuple[HackingWatch, LearningWatch]:
        """With all of the job's steps before this one in mind."""
        if self.watches is None:
            earlier = await self.attempt.read(lambda session: summaries.earlier(session, self.attempt.job.id, step))
            self.watches = HackingWatch(), LearningWatch()
            for summary in earlier:
                for watch in self.watches:
                    watch.see(summary)
        return self.watches

    async def close(self) -> None:
        if self.scoring is not None:
            self.scoring.cancel()
            await asyncio.gather(self.scoring, return_exceptions=True)
        await self.grader.close()
