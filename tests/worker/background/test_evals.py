"""Runs of evals: a model is asked for each row, and graders judge."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import select

from fettle.evals import store
from fettle.tenancy import projects
from models import EvalItem, EvalRun, EvalRunStatus, WebhookEvent
from tests.api.served import served
from tests.worker.background.test_batches import Engine, port, quick, settings, until  # noqa: F401
from worker import tasks
from worker.attempts.resources import Resources
from worker.background import evals

pytestmark = pytest.mark.slow  # starts a server for each test

STARTER = {"name": "starter", "base_model": "starter"}
CHECK = {"type": "string_check", "name": "has", "operation": "ilike", "input": "{{sample.output_text}}"}
CRITERIA = [{**CHECK, "reference": "{{item.a}}"}]
TEMPLATE = {"type": "template", "template": [{"role": "user", "content": "{{item.q}}"}]}


@pytest.fixture(autouse=True)
async def serving(resources: Resources) -> AsyncIterator[None]:
    task = asyncio.create_task(evals.serve(resources, asyncio.Event()))
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def made(resources: Resources, rows: list[Any], model: str | None = "starter") -> EvalRun:
    schema = {"type": "object", "required": ["a"]}
    source = {"source": {"type": "file_content", "content": rows}, "input_messages": TEMPLATE}
    async with resources.db.transaction() as session:
        project = await projects.ensure(session, "default")
        of = await store.create(
            session,
            project.id,
            name="sums",
            labels=None,
            data_source_config={"asked": {"type": "custom", "item_schema": schema}},
            testing_criteria=CRITERIA,
        )
        return await store.add_run(
            session,
            project.id,
            of.id,
            name="",
            labels=None,
            data_source={"asked": source, "sampling": {"temperature": 0}},
            model=model,
            servables={} if model is None else {model: STARTER},
        )


async def ended(resources: Resources, run: EvalRun) -> tuple[EvalRun, list[EvalItem]]:
    async def now() -> EvalRun:
        async with resources.db.snapshot() as session:
            return await session.get_one(EvalRun, run.id)

    async def over() -> bool:
        return (await now()).status.is_terminal

    await until(over)
    async with resources.db.snapshot() as session:
        items = select(EvalItem).where(EvalItem.run_id == run.id).order_by(EvalItem.number)
        return await now(), list(await session.scalars(items))


async def test_each_row_is_asked_once_and_judged(resources: Resources, port: int) -> None:  # noqa: F811
    """The engine says what it is asked: a row passes whose question holds the answer."""
    engine = Engine()
    engine.statuses = {"refused": 400}
    rows = [{"item": {"q": f"2 + {n} = {n + 2}", "a": str(n + 2)}} for n in range(18)]
    rows += [{"item": {"q": "no", "a": "yes"}}, {"item": {"q": "refused", "a": ""}}, {"item": {"a": "no question"}}]
    with served(engine.app, port):
        run, items = await ended(resources, await made(resources, rows))
    assert (run.status, run.total, run.passed, run.failed, run.errored) == (EvalRunStatus.COMPLETED, 21, 18, 1, 2)
    assert run.by_criterion == {"has": [18, 1]}
    assert [item.number for item in items] == list(range(21))
    assert items[3].sample["output"][0]["content"] == "2 + 3 = 5"
    assert items[3].results == [{"name": "has", "type": "string_check", "passed": True, "score": 1.0}]
    assert (items[19].sample["error"]["message"], items[20].sample["error"]["code"]) == ("no", "invalid_variable_error")
    assert run.prompt_tokens == 19 * 3
    assert max(engine.asked.values()) == 1
    assert engine.priorities == {"background"}
    async with resources.db.snapshot() as session:
        assert [event.type for event in await session.scalars(select(WebhookEvent))] == ["eval.run.succeeded"]


async def test_answers_that_the_rows_bring_along_are_judged_without_a_model(resources: Resources) -> None:
    rows = [{"item": {"a": "4"}, "sample": {"output_text": text}} for text in ("it is 4", "five")]
    run, items = await ended(resources, await made(resources, rows, model=None))
    assert (run.status, [item.status for item in items]) == (EvalRunStatus.COMPLETED, ["pass", "fail"])


async def test_a_row_that_is_graded_slowly_costs_no_other(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run_grader(asked: dict[str, Any]) -> dict[str, Any]:
        if any(sample["item"]["a"] == "slow" for sample in asked["samples"]):
            raise TimeoutError
        return await in_time(asked)

    in_time = tasks.run_grader
    monkeypatch.setattr(tasks, "run_grader", run_grader)
    rows = [{"item": {"a": name}, "sample": {"output_text": name}} for name in ("fast", "slow", "right")]
    run, items = await ended(resources, await made(resources, rows, model=None))
    assert (run.status, [item.status for item in items]) == (EvalRunStatus.COMPLETED, ["pass", "error", "pass"])
    assert items[1].results[0]["error"]["message"] == (
        "The graders took more than 150 seconds for this row. Make them faster."
    )


@pytest.mark.parametrize(
    ("row", "words"), [({"item": {"b": 1}}, "'a' is a required property"), ({"q": 1}, "no object 'item'")]
)
async def test_a_row_that_does_not_fit_fails_the_run_with_the_reason(
    resources: Resources, row: dict[str, Any], words: str
) -> None:
    run, items = await ended(resources, await made(resources, [row], model=None))
    assert (run.status, items) == (EvalRunStatus.FAILED, [])
    assert words in (run.error or {})["message"]


async def test_a_worker_that_lost_its_run_goes_on_with_nothing(resources: Resources, port: int) -> None:  # noqa: F811
    """Cancelled while the engine answers: no item is written afterwards."""
    engine = Engine()
    engine.seconds = 0.5
    with served(engine.app, port):
        run = await made(resources, [{"item": {"q": "1", "a": "1"}}])

        async def asked() -> bool:
            return bool(engine.asked)

        await until(asked)
        async with resources.db.transaction() as session:
            await store.cancel(session, run.project_id, run.eval_id, run.id)
        second = await made(resources, [{"item": {"q": "2", "a": "2"}}])
        assert (await ended(resources, second))[0].passed == 1  # the first one's turn is over by then
        _, items = await ended(resources, run)
    assert items == []
