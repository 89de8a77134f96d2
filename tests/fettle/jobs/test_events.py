import orjson
import pytest

from fettle.db import Database
from fettle.errors import InvalidRequest
from fettle.isolation.work import WORK
from fettle.jobs import events, step_metrics
from models import Event, Job, Project
from tests.fettle import given


@pytest.fixture
async def job(db: Database, project: Project) -> Job:
    """Its first event is "Created fine-tuning job"."""
    return await given.job(db, project)


async def add(db: Database, job: Job, *messages: str) -> None:
    async with db.transaction() as session:
        for message in messages:
            events.add(session, job.id, message)


async def add_metrics(db: Database, job: Job, *lines: dict[str, float]) -> None:
    async with db.transaction() as session:
        for line in lines:
            events.add(session, job.id, "Step", type="metrics", data=line)


async def metrics(db: Database, job: Job) -> dict[int, dict[str, float]]:
    async with db.snapshot() as session:
        return await events.metrics(session, job.id)


async def since(db: Database, job: Job, seq: int = 0, limit: int = 500) -> list[Event]:
    async with db.snapshot() as session:
        return list(await events.since(session, job.id, seq, limit))


class TestNewest:
    async def test_pages_go_from_the_newest_to_the_oldest(self, db: Database, job: Job) -> None:
        await add(db, job, "a", "b", "c")
        async with db.snapshot() as session:
            first, more = await events.newest(session, job.id, after=None, limit=2)
            rest, no_more = await events.newest(session, job.id, after=first[-1].id, limit=2)
        assert [event.message for event in first] == ["c", "b"]
        assert [event.message for event in rest] == ["a", f"Created fine-tuning job: {job.id}"]
        assert (more, no_more) == (True, False)

    async def test_what_comes_while_one_reads_shifts_no_page(self, db: Database, job: Job) -> None:
        await add(db, job, "a", "b")
        async with db.snapshot() as session:
            first, _ = await events.newest(session, job.id, after=None, limit=1)
        await add(db, job, "later")
        async with db.snapshot() as session:
            second, _ = await events.newest(session, job.id, after=first[-1].id, limit=1)
        assert [event.message for event in [*first, *second]] == ["b", "a"]

    async def test_another_jobs_event_is_no_cursor(self, db: Database, project: Project, job: Job) -> None:
        foreign = (await since(db, await given.job(db, project)))[0]
        async with db.snapshot() as session:
            with pytest.raises(InvalidRequest, match=foreign.id) as refused:
                await events.newest(session, job.id, after=foreign.id, limit=1)
        assert refused.value.param == "after"


class TestSince:
    async def test_a_batch_written_at_once_keeps_its_order(self, db: Database, job: Job) -> None:
        written = [f"line {n}" for n in range(700)]
        await add(db, job, *written)
        first = await since(db, job)
        assert len(first) == 500
        rest = await since(db, job, first[-1].seq)
        assert [event.message for event in [*first, *rest]][1:] == written

    async def test_other_jobs_stay_out(self, db: Database, project: Project, job: Job) -> None:
        other = await given.job(db, project)
        await add(db, other, "theirs")
        assert [event.job_id for event in await since(db, job)] == [job.id]

    async def test_nothing_new_is_an_empty_list(self, db: Database, job: Job) -> None:
        newest = (await since(db, job))[-1]
        assert await since(db, job, newest.seq) == []


class TestMetrics:
    async def test_a_step_done_again_counts_once_as_it_was_done_last(self, db: Database, job: Job) -> None:
        await add_metrics(db, job, {"step": 1, "train_loss": 3.0}, {"step": 2, "train_loss": 2.0})
        await add_metrics(db, job, {"step": 2, "train_loss": 2.5}, {"step": 3, "train_loss": 1.0})
        assert await metrics(db, job) == {1: {"train_loss": 3.0}, 2: {"train_loss": 2.5}, 3: {"train_loss": 1.0}}

    async def test_a_steps_training_and_validation_lines_are_one_row(self, db: Database, job: Job) -> None:
        await add_metrics(db, job, {"step": 2, "train_loss": 2.0}, {"step": 2, "valid_loss": 2.2})
        assert await metrics(db, job) == {2: {"train_loss": 2.0, "valid_loss": 2.2}}

    async def test_steps_come_in_order_and_messages_do_not_count(self, db: Database, job: Job) -> None:
        await add_metrics(db, job, {"step": 10, "train_loss": 1.0}, {"step": 9, "train_loss": 2.0})
        await add(db, job, "a message")
        assert list(await metrics(db, job)) == [9, 10]

    async def test_a_job_without_metrics_has_none(self, db: Database, job: Job) -> None:
        assert await metrics(db, job) == {}


class TestColumns:
    def test_columns_are_of_equal_length_with_none_where_a_step_lacks_a_value(self) -> None:
        table = step_metrics.columns({1: {"train_loss": 3.0}, 2: {"train_loss": 2.0, "valid_loss": 2.2}})
        assert table == {"step": [1, 2], "train_loss": [3.0, 2.0], "valid_loss": [None, 2.2]}
        assert next(iter(table)) == "step"

    def test_without_steps_there_is_an_empty_step_column(self) -> None:
        assert step_metrics.columns({}) == {"step": []}


class TestMetricLines:
    async def test_a_fork_makes_the_same_table_of_the_stored_lines(self, db: Database, job: Job) -> None:
        await add_metrics(db, job, {"step": 1, "train_loss": 3.0}, {"step": 2, "train_loss": 2.0})
        await add_metrics(db, job, {"step": 2, "train_loss": 1.5, "valid_loss": 1.0})  # done again by a resumed run
        async with db.snapshot() as session:
            lines = await events.metric_lines(session, job.id)
        assert lines.count(b"\n") == 2
        body = orjson.loads(WORK["metric_columns"]({"job_id": job.id}, lines))
        assert body["columns"] == {"step": [1, 2], "train_loss": [3.0, 1.5], "valid_loss": [None, 1.0]}
        assert body["columns"] == step_metrics.columns(await metrics(db, job))

    def test_a_job_without_metrics_has_an_empty_table(self) -> None:
        assert orjson.loads(WORK["metric_columns"]({"job_id": "j"}, b""))["columns"] == {"step": []}
