"""Evals and their runs: create, find, change; for workers: claim, record and end."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids, leased
from fettle.datasets import files
from fettle.db import lock
from fettle.errors import Conflict, InvalidRequest, NotFound
from fettle.evals.outcomes import Outcome
from fettle.evals.rows import BYTES_AT_MOST, RESPONSES, ROWS_AT_MOST, STORED
from fettle.inference import stored_completions, stored_responses
from fettle.pagination import page
from fettle.webhooks import events as webhooks
from models import UNFINISHED, Eval, EvalItem, EvalRun, EvalRunStatus, File

EVALS_AT_MOST = 1_000  # of a project
RUNS_AT_MOST = 200  # of an eval
UNFINISHED_AT_MOST = 20  # runs of a project
OF_JOB = "eval_"  # before a job's id: the eval of its own evaluation, which does not count to the limit
PURPOSES = ("evals", "fine-tune")
FILTERS = ("model", "created_after", "created_before")  # of stored answers, beside the metadata
OF_RESPONSES = ("instructions_search", "temperature", "top_p")  # more of them
EVENTS = {"completed": "succeeded", "failed": "failed", "canceled": "canceled"}  # a status → the webhook's word


async def create(session: AsyncSession, project_id: str, **values: Any) -> Eval:
    """Raises Conflict."""
    await lock(session, f"{project_id} evals")
    count = select(func.count()).where(Eval.project_id == project_id, Eval.id.not_like(f"{OF_JOB}ftjob-%"))
    if (await session.scalar(count) or 0) >= EVALS_AT_MOST:
        raise Conflict(
            f"The project has {EVALS_AT_MOST:,} evals, which is the limit. Delete some.", code="too_many_evals"
        )
    made = Eval(id=ids.new("eval_"), project_id=project_id, updated_at=time.time(), **values)
    session.add(made)
    await session.flush()
    return made


async def get(session: AsyncSession, project_id: str, eval_id: str, *, lock: bool = False) -> Eval:
    """Raises NotFound."""
    found = await session.get(Eval, eval_id, with_for_update=lock)
    if found is None or found.project_id != project_id:
        raise NotFound(f"No eval has the id {eval_id!r}.", param="eval_id")
    return found


async def evals(
    session: AsyncSession, project_id: str, *, by_change: bool, after: str | None, limit: int, newest_first: bool
) -> tuple[list[Eval], bool]:
    statement = select(Eval).where(Eval.project_id == project_id)
    order = (Eval.updated_at if by_change else Eval.created_at, Eval.id)
    return await page(session, statement, order, Eval.id, after=after, limit=limit, newest_first=newest_first)


async def remove(session: AsyncSession, project_id: str, eval_id: str) -> None:
    """With its runs. Raises NotFound, and Conflict while one goes on."""
    found = await get(session, project_id, eval_id, lock=True)
    runs = select(EvalRun.id).where(EvalRun.eval_id == found.id)
    going = await session.scalar(runs.where(EvalRun.status.in_(UNFINISHED)).limit(1))
    if going is not None:
        raise Conflict(f"The run {going!r} of this eval has not ended. Cancel it first.", code="eval_run_active")
    await session.execute(delete(EvalItem).where(EvalItem.run_id.in_(runs)))
    await session.execute(delete(EvalRun).where(EvalRun.eval_id == found.id))
    await session.delete(found)


async def add_run(
    session: AsyncSession, project_id: str, eval_id: str, data_source: dict[str, Any], **values: Any
) -> EvalRun:
    """Raises NotFound, InvalidRequest for a source that has no rows, and Conflict."""
    await lock(session, f"{project_id} evals")
    of = await get(session, project_id, eval_id)
    mine = select(func.count()).where(EvalRun.project_id == project_id)
    if (await session.scalar(mine.where(EvalRun.status.in_(UNFINISHED))) or 0) >= UNFINISHED_AT_MOST:
        raise Conflict(
            f"{UNFINISHED_AT_MOST} runs of this project have not ended yet. Wait for one, or cancel one.",
            code="too_many_eval_runs",
        )
    if (await session.scalar(mine.where(EvalRun.eval_id == of.id)) or 0) >= RUNS_AT_MOST:
        raise Conflict(f"The eval has {RUNS_AT_MOST} runs, which is the limit. Delete some.", code="too_many_eval_runs")
    source = data_source["asked"]["source"]
    rows = source.get("content", [])
    if source["type"] == "file_id":
        await check_file(session, project_id, source["id"])
    elif source["type"] in (STORED, RESPONSES):
        data_source["stored"] = rows = await stored(session, of, source)
    run = EvalRun(
        id=ids.new("evalrun_"), project_id=project_id, eval_id=of.id, data_source=data_source, total=len(rows),
        passed=0, failed=0, errored=0, by_criterion={}, prompt_tokens=0, cached_tokens=0, completion_tokens=0,
        status=EvalRunStatus.QUEUED, **values,
    )  # fmt: skip
    session.add(run)
    await session.flush()
    return run


async def check_file(session: AsyncSession, project_id: str, file_id: str) -> None:
    param = "data_source.source.id"
    file = await session.get(File, file_id)
    if file is None or file.project_id != project_id or files.expired(file):
        raise InvalidRequest(
            f"The file {file_id!r} does not exist. Upload it first.", code="file_not_found", param=param
        )
    if file.purpose not in PURPOSES:
        raise InvalidRequest(
            f"The file {file_id!r} has the purpose {file.purpose!r}. Upload it with the purpose 'evals'.", param=param
        )
    if file.bytes > BYTES_AT_MOST:
        raise InvalidRequest(
            f"The file {file_id!r} has {file.bytes:,} bytes; the limit of an eval is {BYTES_AT_MOST:,}. Split it.",
            param=param,
        )


async def stored(session: AsyncSession, of: Eval, source: Mapping[str, Any]) -> list[str]:
    """The stored answers that match now: the run reads these and no later ones. Raises InvalidRequest."""
    labels = (of.data_source_config["asked"].get("metadata") or {}, source.get("metadata") or {})
    limit = source.get("limit", ROWS_AT_MOST)
    if source["type"] == STORED:
        what, filters = "chat completion", {name: source.get(name) for name in FILTERS}
        found = await stored_completions.matching(session, of.project_id, labels=labels, limit=limit, **filters)
    else:
        what, filters = "response", {name: source.get(name) for name in (*FILTERS, *OF_RESPONSES)}
        found = await stored_responses.matching(session, of.project_id, labels=labels, limit=limit, **filters)
    if not found:
        raise InvalidRequest(
            f"No stored {what} of this project matches the source and the eval's metadata. Change the filters, "
            f"or store {what}s with 'store': true first.",
            param="data_source.source",
        )
    return found


async def get_run(session: AsyncSession, project_id: str, eval_id: str, run_id: str, *, lock: bool = False) -> EvalRun:
    """Raises NotFound."""
    await get(session, project_id, eval_id)
    run = await session.get(EvalRun, run_id, with_for_update=lock)
    if run is None or run.eval_id != eval_id:
        raise NotFound(f"The eval {eval_id!r} has no run {run_id!r}.", param="run_id")
    return run


async def runs(
    session: AsyncSession,
    of: Eval,
    *,
    status: str | None,
    after: str | None,
    limit: int,
    newest_first: bool,
) -> tuple[list[EvalRun], bool]:
    statement = select(EvalRun).where(EvalRun.eval_id == of.id)
    if status is not None:
        statement = statement.where(EvalRun.status == EvalRunStatus(status))
    order = (EvalRun.created_at, EvalRun.id)
    return await page(session, statement, order, EvalRun.id, after=after, limit=limit, newest_first=newest_first)


async def cancel(session: AsyncSession, project_id: str, eval_id: str, run_id: str) -> EvalRun:
    """At once: whoever works on it can write no more. Raises NotFound, Conflict."""
    run = await get_run(session, project_id, eval_id, run_id, lock=True)
    if run.status.is_terminal:
        raise Conflict(f"The run {run_id!r} is {run.status}. It cannot be cancelled.", code="eval_run_not_active")
    end(session, run, EvalRunStatus.CANCELED)
    return run


async def remove_run(session: AsyncSession, project_id: str, eval_id: str, run_id: str) -> None:
    """Raises NotFound, and Conflict while it goes on."""
    run = await get_run(session, project_id, eval_id, run_id, lock=True)
    if not run.status.is_terminal:
        raise Conflict(f"The run {run_id!r} has not ended. Cancel it first.", code="eval_run_active")
    await session.execute(delete(EvalItem).where(EvalItem.run_id == run.id))
    await session.delete(run)


async def items(
    session: AsyncSession, run: EvalRun, *, status: str | None, after: str | None, limit: int, newest_first: bool
) -> tuple[list[EvalItem], bool]:
    statement = select(EvalItem).where(EvalItem.run_id == run.id)
    if status is not None:
        statement = statement.where(EvalItem.status == status)
    order = (EvalItem.number,)
    return await page(session, statement, order, EvalItem.id, after=after, limit=limit, newest_first=newest_first)


async def get_item(session: AsyncSession, run: EvalRun, item_id: str) -> EvalItem:
    """Raises NotFound."""
    found = await session.scalar(select(EvalItem).where(EvalItem.run_id == run.id, EvalItem.id == item_id))
    if found is None:
        raise NotFound(f"The run {run.id!r} has no output item {item_id!r}.", param="output_item_id")
    return found


async def claim(session: AsyncSession, owner: str, lease_seconds: float) -> EvalRun | None:
    return await leased.claim(session, EvalRun, UNFINISHED, owner, lease_seconds, status=EvalRunStatus.IN_PROGRESS)


async def others_wait(session: AsyncSession) -> bool:
    return await leased.others_wait(session, EvalRun, UNFINISHED)


async def renew(session: AsyncSession, run_id: str, owner: str, lease_seconds: float, wait_reason: str | None) -> None:
    """Raises Fenced."""
    await leased.renew(session, EvalRun, UNFINISHED, run_id, owner, lease_seconds, wait_reason)


async def release(session: AsyncSession, run_id: str, owner: str) -> None:
    await leased.release(session, EvalRun, run_id, owner)


async def hold(session: AsyncSession, run_id: str, owner: str) -> EvalRun:
    """Raises Fenced."""
    return await leased.hold(session, EvalRun, UNFINISHED, run_id, owner)


async def done(session: AsyncSession, run_id: str) -> set[int]:
    return set(await session.scalars(select(EvalItem.number).where(EvalItem.run_id == run_id)))


async def record(session: AsyncSession, run_id: str, owner: str, total: int, outcomes: Sequence[Outcome]) -> None:
    """Raises Fenced."""
    run = await hold(session, run_id, owner)
    tally(session, run, outcomes)
    run.total = total


def tally(session: AsyncSession, run: EvalRun, outcomes: Sequence[Outcome]) -> None:
    """Adds the items of these rows, and counts them."""
    counts = {name: list(both) for name, both in run.by_criterion.items()}
    for each in outcomes:
        made = {"id": ids.new("outputitem_"), "number": each.number, "status": each.status}
        session.add(EvalItem(run_id=run.id, item=each.item, sample=each.sample, results=each.results, **made))
        run.passed += each.status == "pass"
        run.failed += each.status == "fail"
        run.errored += each.status == "error"
        for result in each.results:
            counts.setdefault(result["name"], [0, 0])[0 if result["passed"] else 1] += 1
        if run.model is not None:
            run.prompt_tokens += each.usage.get("prompt_tokens", 0)
            run.cached_tokens += each.usage.get("cached_tokens", 0)
            run.completion_tokens += each.usage.get("completion_tokens", 0)
    run.by_criterion = counts


async def conclude(
    session: AsyncSession, run_id: str, owner: str, to: EvalRunStatus, error: dict[str, Any] | None = None
) -> None:
    """Raises Fenced."""
    run = await hold(session, run_id, owner)
    run.error = error
    end(session, run, to)


def end(session: AsyncSession, run: EvalRun, to: EvalRunStatus) -> None:
    run.status = to
    run.owner = run.lease_until = run.wait_reason = None
    webhooks.add(session, run.project_id, f"eval.run.{EVENTS[to]}", run.id)
