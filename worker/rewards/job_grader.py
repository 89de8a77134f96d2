"""What a job's graders make of completions: by the newest version of the rewards that this machine can open."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from fettle.errors import FettleError, TrainingFailed
from fettle.inference import judge_models
from fettle.inference.client import Servable
from fettle.jobs import reward_versions
from models import Job, RewardVersion
from worker.attempts.attempt import Attempt
from worker.rewards import open_graders
from worker.rewards.scorer_client import OVERRUN_SECONDS, GradersUnavailable, Scorer

Line = dict[str, Any]


class JobGrader:
    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        patience = attempt.settings.judge_retry_seconds
        resources = {**open_graders.resources(attempt.settings), "patience": patience}
        self.scorer = Scorer(resources, seconds=OVERRUN_SECONDS + patience)
        self.recorded = attempt.job.sandbox
        self.unusable: set[int] = set()  # versions that cannot be opened here
        self.models: dict[int, dict[str, Servable]] = {}  # whom its graders ask, by version

    async def score(self, batch: Sequence[Line]) -> tuple[RewardVersion, list[Line]]:
        """The version in force, and the scores that it gives. One that cannot be opened leaves the one before in force,
        and says so.

        Raises TrainingFailed when none can.
        """
        odd: dict[int, GradersUnavailable] = {}
        while True:
            version = await self.attempt.read(self._newest)
            if version is None:
                raise no_graders(list(odd.values()))
            try:
                scores = await self._score(version, batch)
                break
            except GradersUnavailable as error:
                self.unusable.add(version.version)
                odd[version.version] = error
        for number, why in odd.items():
            message = (
                f"Rewards version {number} cannot be used, so version {version.version} stays in use: {clean(str(why))}"
            )
            await self.attempt.tell(message, "warn")
        await self._record()
        return version, scores

    async def _newest(self, session: AsyncSession) -> RewardVersion | None:
        return await reward_versions.newest(session, self.attempt.job.id, but=self.unusable)

    async def _score(self, by: RewardVersion, batch: Sequence[Line]) -> list[Line]:
        """Raises GradersUnavailable, also when a model that the graders ask is gone."""
        if by.version not in self.models:
            models, aliases = self.attempt.resources.models, self.attempt.settings.model_aliases

            async def look(session: AsyncSession) -> dict[str, Servable]:
                return await judge_models.find(session, self.attempt.job.project_id, by.graders, models, aliases)

            try:
                self.models[by.version] = await self.attempt.read(look)
            except FettleError as error:
                raise GradersUnavailable(error.message, "graders_failed") from error
        engines = await self.attempt.resources.engines.routes()
        return await self.scorer.score(by.version, by.graders, batch, self.models[by.version], engines)

    async def call(self, calls: Sequence[Line]) -> list[Line]:
        """What the job's tools return. Raises TrainingFailed when they cannot be opened."""
        tools = self.attempt.job.method[self.attempt.job.method["type"]]["tools"]
        try:
            results = await self.scorer.call(tools, calls)
        except GradersUnavailable as error:
            said = f"The tools cannot be started: {clean(str(error))}"
            raise TrainingFailed(error.code, said, "method.reinforcement.tools") from error
        await self._record()
        return results

    async def _record(self) -> None:
        """Writes down on the job what holds its user code. Raises Fenced."""
        held = self.scorer.sandbox
        if held is not None and held != self.recorded:

            def change(_: AsyncSession, row: Job) -> None:
                row.sandbox = held

            await self.attempt.write(change)
            self.recorded = held

    async def close(self) -> None:
        await self.scorer.close()


def no_graders(why: Sequence[GradersUnavailable]) -> TrainingFailed:
    """why: of each version, the newest first."""
    said = "; ".join(clean(str(error)) for error in why) or "the job has no graders"
    return TrainingFailed(why[-1].code if why else "graders_failed", f"The graders cannot be started: {said}")


def clean(text: str) -> str:
    """PostgreSQL's text knows no NUL, and users' code may say what it likes."""
    return text.replace("\0", "")
