"""Before a job succeeds: its adapters are loaded anew from storage, by a process of its own, and compared.

The rows that training looked at last are looked at again, with the weights that storage gives back. What differs is
not published.
"""

import asyncio
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import structlog
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.errors import TrainingFailed
from fettle.host.devices import Slot
from fettle.jobs import proof_checks
from fettle.methods import METHODS
from fettle.registry import tuned_models
from fettle.storage import Missing, artifacts
from models import File, Job, Proof, TunedModel
from worker.attempts.attempt import Attempt
from worker.jobs.training_process import ProcessLauncher, describe_exit, verifier_main

log = structlog.get_logger()

TRIES = 2
SECONDS = 900.0  # of one try; loading the base model is most of it
REQUEST = "verify.json"


@dataclass(frozen=True)
class Adapter:
    """One that the job publishes. known: what the proof says of it so far."""

    kind: str
    model: str  # empty: named when it is published
    prefix: str
    probe: dict[str, Any]
    known: list[proof_checks.Check]


async def verify(
    attempt: Attempt, launcher: ProcessLauncher, slot: Slot, folder: Path, done: dict[str, Any], prefix: str
) -> Sequence[Proof]:
    """Rows to add when the job succeeds. Raises TrainingFailed when an adapter is not what was trained, and Fenced."""
    began = time.monotonic()
    adapters = [*await earlier(attempt), *await own(attempt, done, prefix)]
    if not adapters:
        return []
    for number, adapter in enumerate(adapters):
        await fetch(attempt, adapter, folder / "verify" / str(number))
    try:
        results = await measured(launcher, slot, folder, adapters)
        found = [proof_checks.of_storage(one.probe, again) for one, again in zip(adapters, results, strict=True)]
    except Unverified as error:
        found = [proof_checks.unchecked(adapter.probe, str(error)) for adapter in adapters]
    log.info("adapters_verified", adapters=len(adapters), seconds=round(time.monotonic() - began, 3))
    for adapter, checks in zip(adapters, found, strict=True):
        try:
            proof_checks.refuse_contradiction(checks)
        except TrainingFailed:
            await withdraw(attempt, adapter.model)
            raise
    return [
        Proof(
            job_id=attempt.job.id,
            kind=adapter.kind,
            model=adapter.model,
            prefix=adapter.prefix,
            checks=[*adapter.known, *checks, proof_checks.waiting_for_engine()],
            probe=adapter.probe,
            created_at=time.time(),
        )
        for adapter, checks in zip(adapters, found, strict=True)
    ]


async def withdraw(attempt: Attempt, name: str) -> None:
    """A reward model that was published before its copy could be checked serves nobody."""
    statement = delete(TunedModel).where(TunedModel.name == name, TunedModel.job_id == attempt.job.id)

    async def change(session: AsyncSession, row: Job) -> None:
        await session.execute(statement)

    await attempt.write(change)


class Unverified(Exception):
    """The comparison could not be made; why, for people."""


async def own(attempt: Attempt, done: dict[str, Any], prefix: str) -> list[Adapter]:
    found = done.get("proof")
    if not found:
        return []
    checks = proof_checks.of_training(found["evidence"], await rows_uploaded(attempt))
    return [Adapter(tuned_models.kind_of(attempt.job), "", prefix, found["probe"], checks)]


async def earlier(attempt: Attempt) -> list[Adapter]:
    """The reward model that the job has published on its way, in this attempt or one before."""

    async def look(session: AsyncSession) -> Sequence[Proof]:
        statement = select(Proof).where(Proof.job_id == attempt.job.id, Proof.kind == tuned_models.REWARD_MODEL)
        return (await session.scalars(statement)).all()

    if tuned_models.REWARD_MODEL not in METHODS[attempt.job.method["type"]].earlier_kinds:
        return []
    return [
        Adapter(row.kind, row.model, row.prefix, row.probe, row.checks)
        for row in await attempt.read(look)
        if row.probe is not None
    ]


async def rows_uploaded(attempt: Attempt) -> int | None:
    """As validation counted them when the training file came."""
    file = await attempt.read(lambda session: session.get(File, attempt.job.training_file))
    rows = (file.report or {}).get("rows") if file else None
    return int(rows) if rows is not None else None


async def fetch(attempt: Attempt, adapter: Adapter, folder: Path) -> None:
    """Raises TrainingFailed for an adapter that storage does not give back whole."""
    try:
        await attempt.retry(lambda: artifacts.download(attempt.storage, adapter.prefix, folder, only=artifacts.ADAPTER))
    except (Missing, artifacts.Corrupt) as error:
        raise TrainingFailed(
            "adapter_not_stored",
            f"The adapter could not be read back from storage ({error}). The model was not published. Check the "
            "storage, then start the job again.",
        ) from error


async def measured(
    launcher: ProcessLauncher, slot: Slot, folder: Path, adapters: Sequence[Adapter]
) -> list[dict[str, Any]]:
    """What a fresh process makes of each adapter's probe rows. Raises Unverified."""
    asked = [
        {
            "folder": f"verify/{number}",
            "rows": adapter.probe["rows"],
            "scores": adapter.probe["scores"],
            "quantization": adapter.probe["quantization"],
        }
        for number, adapter in enumerate(adapters)
    ]
    (folder / REQUEST).write_bytes(orjson.dumps({"adapters": asked}))
    for attempt in range(1, TRIES + 1):
        try:
            async with asyncio.timeout(SECONDS):
                return await once(launcher, slot, folder)
        except TimeoutError:
            why = f"loading it took more than {SECONDS:g} seconds"
        except Unverified as error:
            why = str(error)
        log.warning("not_verified", attempt=attempt, why=why)
    await asyncio.to_thread(shutil.rmtree, folder / "verify", ignore_errors=True)
    raise Unverified(why)


async def once(launcher: ProcessLauncher, slot: Slot, folder: Path) -> list[dict[str, Any]]:
    child = await launcher.start(folder, slot, verifier_main)
    try:
        async for line in child.lines(pause=60.0):
            match line:
                case {"type": "verified", "results": results}:
                    return list(results)
                case {"type": "error", "message": message}:
                    raise Unverified(str(message).rstrip("."))
        raise Unverified(describe_exit(await child.exit_code()))
    finally:
        await child.kill()
