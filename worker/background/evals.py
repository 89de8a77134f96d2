"""Works through the runs of evals: asks the model for each row when nobody else needs the engine, and grades.

A few rows at a time are sampled, graded in a process of their own, and committed together under the worker's lease.
Whoever takes a run over goes on with the rows that have no output item.
"""

import asyncio
import contextlib
import os
import secrets
import socket
import time
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.errors import Fenced
from fettle.evals import criteria, rows, store
from fettle.evals.outcomes import Outcome, outcome_of, sample_object
from fettle.evals.rows import BadRow, Row
from fettle.inference.client import Servable
from fettle.rewards import models_of, templates
from models import Eval, EvalRun, EvalRunStatus
from worker import tasks
from worker.attempts.resources import Resources
from worker.background import eval_rows, turns
from worker.background.requests import Background
from worker.background.turns import Lease
from worker.rewards import open_graders

log = structlog.get_logger()

LEASE_SECONDS = 30.0
AT_ONCE = 4  # requests of one run: the engine answers other people too
ROWS = 16  # that are graded and committed together
TURN_SECONDS = 60.0  # after which another run goes on, if one waits
FOLDER = "evals"  # in the data folder: the files of this worker's runs

Line = dict[str, Any]


async def serve(resources: Resources, woken: asyncio.Event) -> None:
    """One run after another, for ever."""
    owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"

    async def claim(session: AsyncSession) -> EvalRun | None:
        return await store.claim(session, owner, LEASE_SECONDS)

    await turns.serve(resources, woken, claim, work, "eval_not_run")


async def work(resources: Resources, run: EvalRun) -> None:
    """One turn of a run: until it ends, or until another waits."""
    turn = Turn(resources, run)
    folder = resources.settings.data / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run.id}-{secrets.token_hex(4)}"
    try:
        async with turn.lease.kept(LEASE_SECONDS / 15):
            await turn.work(path)
    except Fenced:
        log.info("eval_run_gone", run_id=run.id)
    except BadRow as error:
        with contextlib.suppress(Fenced):
            await turn.conclude(EvalRunStatus.FAILED, {"code": "invalid_data", "message": str(error)})
    finally:
        await turn.background.close()
        path.unlink(missing_ok=True)
        async with resources.db.transaction() as session:
            await store.release(session, run.id, turn.owner)


class Turn:
    """One worker's turn at one run."""

    def __init__(self, resources: Resources, run: EvalRun) -> None:
        self.resources, self.run, self.owner = resources, run, run.owner or ""
        self.background = Background(resources, self.wait_for)
        self.model = None if run.model is None else Servable(**run.servables[run.model])
        self.lease = Lease(resources, run.id, self.renew)

    async def renew(self, session: AsyncSession, reason: str | None) -> None:
        await store.renew(session, self.run.id, self.owner, LEASE_SECONDS, reason)

    def wait_for(self, reason: str | None) -> None:
        self.lease.wait_for(reason and f"{reason} The run continues when the engine is back.")

    async def work(self, path: Path) -> None:
        """Raises Fenced, BadRow."""
        async with self.resources.db.snapshot() as session:
            of = await session.get_one(Eval, self.run.eval_id)
            done = await store.done(session, self.run.id)
        source = await eval_rows.opened(self.resources, self.run, path)
        if source.total == 0:
            raise BadRow("The source has no rows.")
        ends_at = time.monotonic() + TURN_SECONDS
        async for chunk in source.chunks(done, ROWS):
            outcomes = await self.outcomes(of, chunk)
            async with self.resources.db.transaction() as session:
                await store.record(session, self.run.id, self.owner, source.total, outcomes)
            if time.monotonic() > ends_at:
                async with self.resources.db.snapshot() as session:
                    if await store.others_wait(session):
                        return
        await self.conclude(EvalRunStatus.COMPLETED)

    async def conclude(self, to: EvalRunStatus, error: Line | None = None) -> None:
        async with self.resources.db.transaction() as session:
            await store.conclude(session, self.run.id, self.owner, to, error)

    async def outcomes(self, of: Eval, chunk: list[tuple[int, Row]]) -> list[Outcome]:
        """Raises Fenced, BadRow."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(row: Row) -> Line:
            async with turns:
                return await self.sampled(row)

        asking = [asyncio.create_task(one(row)) for _, row in chunk]
        try:
            while not all(task.done() for task in asking):
                await asyncio.wait(asking, timeout=1)
                if self.lease.gone:
                    raise Fenced(self.run.id)
            samples = [task.result() for task in asking]
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        scores = await self.scores(of, [row for _, row in chunk], samples)
        return [
            outcome_of(of.testing_criteria, number, row["item"], sample, score)
            for (number, row), sample, score in zip(chunk, samples, scores, strict=True)
        ]

    async def sampled(self, row: Row) -> Line:
        """OpenAI's `sample` of a row; where there is no answer, with its `error`."""
        if (gone := row.get("error")) is not None:
            return sample_object([], {}, self.run.model, error=gone)
        if self.model is None:
            return brought_along(row)
        asked = self.run.data_source["sampling"]
        try:
            messages = rows.messages(self.run.data_source["asked"]["input_messages"], row["item"])
        except templates.Unfilled as error:
            return sample_object([], asked, self.run.model, error={"code": error.flag, "message": str(error)})
        status, body = await self.background.ask(self.model, {"messages": messages, **asked})
        if status != 200:
            said = body["error"]
            refusal = {"code": str(said.get("code") or status), "message": str(said.get("message"))}
            return sample_object(messages, asked, self.run.model, error=refusal)
        choice, usage = body["choices"][0], body.get("usage") or {}
        return sample_object(
            messages, asked, self.run.model, output=choice["message"], ended=choice["finish_reason"], usage=usage
        )

    async def scores(self, of: Eval, chunk: list[Row], samples: list[Line]) -> list[Line | None]:
        """Of each sample that has an answer. Raises BadRow, Fenced."""
        asked = [
            {
                "prompt": sample["input"],
                "completion": sample["output"][0]["content"] or "",
                "item": row["item"],
                "tool_calls": sample["output"][0].get("tool_calls") or [],
            }
            for row, sample in zip(chunk, samples, strict=True)
            if sample["error"] is None
        ]
        found = iter(await self.graded(of, asked, [row["item"] for row in chunk if "error" not in row]))
        return [next(found) if sample["error"] is None else None for sample in samples]

    async def graded(self, of: Eval, samples: list[Line], items: list[Line]) -> list[Line]:
        """Together; where that takes too long or kills the graders, each alone: a slow row costs no other.

        Raises BadRow, Fenced.
        """
        if self.lease.gone:
            raise Fenced(self.run.id)
        result = await self.ask_graders(of, samples, items)
        if "error" not in result:
            return list(result["scores"])
        why = result["error"]
        if why["kind"] not in ("timeout", "died"):
            raise BadRow(why["message"])
        if len(samples) > 1:
            return [score for sample in samples for score in await self.graded(of, [sample], [])]
        names = [criterion["name"] for criterion in of.testing_criteria]
        errors = {name: {"flag": "other_error", "message": why["message"]} for name in names}
        return [{"scores": dict.fromkeys(names), "errors": errors} for _ in samples]

    async def ask_graders(self, of: Eval, samples: list[Line], items: list[Line]) -> Line:
        """As `worker.rewards.grading_process` answers."""
        seconds = self.resources.settings.grading_seconds
        graders = criteria.graders_of(of.testing_criteria)
        request = {
            "graders": graders,
            "models": {name: self.run.servables[name] for name, _ in models_of(graders)},
            "samples": samples,
            "items": items,
            "item_schema": of.data_source_config["asked"].get("item_schema", {}),
            "seconds": seconds,
            **open_graders.resources(self.resources.settings, await self.resources.engines.routes()),
        }
        try:
            async with asyncio.timeout(seconds):
                return await tasks.run_grader(request)
        except TimeoutError:
            message = f"The graders took more than {seconds:g} seconds for this row. Make them faster."
            return {"error": {"kind": "timeout", "message": message}}


def brought_along(row: Row) -> Line:
    """Of a row that has its answer already. What a client's file says of tokens counts for nothing."""
    sample, item, answered = row["sample"], row["item"], row.get("answered")
    text, calls = sample.get("output_text"), sample.get("output_tools")
    output = {"role": "assistant", "content": text if isinstance(text, str) else "", "tool_calls": calls}
    if answered is None:
        return sample_object([], {}, "", output=output, ended="stop")
    return sample_object(item["input"], {}, item["model"], output=output, **answered)
