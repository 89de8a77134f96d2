"""A request that is sent again finds the job of its first try: the SDK's retries, and `Idempotency-Key`."""

import asyncio
import time

import pytest
from sqlalchemy import select

from fettle.db import Database
from fettle.errors import Conflict, InvalidRequest
from fettle.jobs import idempotency, planning
from models import Event, IdempotencyKey, Job, Project
from tests.fettle import given


class TestRetry:
    async def test_a_retry_with_the_same_body_finds_the_job_of_the_first_try(
        self, db: Database, project: Project
    ) -> None:
        file = await given.dataset(db, project)
        first, _ = await given.create(db, project, given.request(file))
        again, created = await given.create(db, project, given.request(file, retry=True))
        assert (again.id, created) == (first.id, False)
        assert await given.messages(db, first) == [f"Created fine-tuning job: {first.id}"]

    async def test_the_order_of_the_bodys_keys_does_not_matter(self, db: Database, project: Project) -> None:
        file = await given.dataset(db, project)
        one = {"model": "starter", "training_file": file.id}
        other = dict(reversed(one.items()))
        first, _ = await given.create(db, project, given.request(file, body=one))
        again, _ = await given.create(db, project, given.request(file, body=other, retry=True))
        assert again.id == first.id

    async def test_a_first_try_with_the_same_body_is_a_second_job(self, db: Database, project: Project) -> None:
        file = await given.dataset(db, project)
        first, _ = await given.create(db, project, given.request(file))
        second, created = await given.create(db, project, given.request(file))
        assert created
        assert second.id != first.id
        again, _ = await given.create(db, project, given.request(file, retry=True))
        assert again.id == second.id

    async def test_a_retry_whose_first_try_never_arrived_makes_the_job(self, db: Database, project: Project) -> None:
        file = await given.dataset(db, project)
        await given.create(db, project, given.request(file, seed=1))
        _, created = await given.create(db, project, given.request(file, seed=2, retry=True))
        assert created

    async def test_a_retry_never_finds_another_tenants_job(self, db: Database, project: Project) -> None:
        other = await given.stranger(db)
        body = {"model": "starter"}
        theirs, _ = await given.create(db, other, given.request(await given.dataset(db, other), body=body))
        mine, created = await given.create(
            db, project, given.request(await given.dataset(db, project), body=body, retry=True)
        )
        assert created
        assert mine.id != theirs.id

    async def test_what_was_sent_before_the_window_is_no_retry(self, db: Database, project: Project) -> None:
        file = await given.dataset(db, project)
        first, _ = await given.create(db, project, given.request(file))
        await given.change(db, first, created_at=time.time() - idempotency.RETRY_WINDOW - 1)
        _, created = await given.create(db, project, given.request(file, retry=True))
        assert created

    async def test_a_first_try_and_its_retries_at_once_make_one_job(self, db: Database, project: Project) -> None:
        file = await given.dataset(db, project)
        tries = [
            given.request(file, retry=number != 3) for number in range(12)
        ]  # the first try is not the first to come
        answers = await asyncio.gather(*(given.create(db, project, wanted) for wanted in tries))
        assert len({job.id for job, _ in answers}) == 1
        assert sum(created for _, created in answers) == 1
        assert await given.count(db, Job) == 1

    async def test_a_first_try_that_comes_long_after_its_retry_means_another_job(
        self, db: Database, project: Project
    ) -> None:
        file = await given.dataset(db, project)
        first, _ = await given.create(db, project, given.request(file, retry=True))
        async with db.transaction() as session:
            for known in await session.scalars(select(IdempotencyKey)):
                known.created_at -= idempotency.OVERTAKING_WINDOW + 1
        second, created = await given.create(db, project, given.request(file))
        assert created
        assert second.id != first.id
        assert await given.count(db, IdempotencyKey) == 0


class TestIdempotencyKey:
    async def test_the_same_key_and_body_answer_with_the_first_job(self, db: Database, project: Project) -> None:
        file = await given.dataset(db, project)
        first, _ = await given.create(db, project, given.request(file, idempotency_key="k"))
        again, created = await given.create(db, project, given.request(file, idempotency_key="k"))
        assert (again.id, created) == (first.id, False)

    async def test_another_body_under_the_key_is_a_conflict_that_no_retry_mends(
        self, db: Database, project: Project
    ) -> None:
        file = await given.dataset(db, project)
        await given.create(db, project, given.request(file, idempotency_key="k"))
        with pytest.raises(Conflict, match=r"'k' was used with another request body\. Use a new key") as refused:
            await given.create(db, project, given.request(file, idempotency_key="k", seed=1))
        assert (refused.value.status, refused.value.code) == (409, "idempotency_key_reused")
        assert refused.value.retry is False
        assert await given.count(db, Job) == 1

    async def test_a_key_belongs_to_its_project(self, db: Database, project: Project) -> None:
        other = await given.stranger(db)
        await given.create(db, other, given.request(await given.dataset(db, other), idempotency_key="k"))
        _, created = await given.create(
            db, project, given.request(await given.dataset(db, project), idempotency_key="k")
        )
        assert created

    async def test_another_key_makes_another_job_even_when_the_sdk_retries(
        self, db: Database, project: Project
    ) -> None:
        file = await given.dataset(db, project)
        await given.create(db, project, given.request(file, idempotency_key="k"))
        _, created = await given.create(db, project, given.request(file, idempotency_key="l", retry=True))
        assert created

    async def test_a_key_is_free_again_after_the_window(self, db: Database, project: Project) -> None:
        file = await given.dataset(db, project)
        first, _ = await given.create(db, project, given.request(file, idempotency_key="k"))
        async with db.transaction() as session:
            known = await session.get_one(IdempotencyKey, (project.id, "k"))
            known.created_at = time.time() - idempotency.KEY_WINDOW - 1
        second, created = await given.create(db, project, given.request(file, idempotency_key="k", seed=1))
        assert created
        again, _ = await given.create(db, project, given.request(file, idempotency_key="k", seed=1))
        assert again.id == second.id != first.id

    async def test_a_refused_request_leaves_its_key_free(self, db: Database, project: Project) -> None:
        short, good = await given.dataset(db, project, rows=1), await given.dataset(db, project)
        with pytest.raises(InvalidRequest):
            await given.create(db, project, given.request(short, idempotency_key="k"))
        _, created = await given.create(db, project, given.request(good, idempotency_key="k"))
        assert created

    async def test_fifty_requests_at_once_make_one_job(self, db: Database, project: Project) -> None:
        wanted = given.request(await given.dataset(db, project), idempotency_key="k")

        async def as_the_sdk_does() -> tuple[str, bool]:
            for _ in range(20):
                try:
                    job, created = await given.create(db, project, wanted)
                    return job.id, created
                except Conflict as conflict:
                    assert conflict.retry, conflict.message
                    await asyncio.sleep(0.01)
            raise AssertionError("twenty conflicts in a row")

        answers = await asyncio.gather(*(as_the_sdk_does() for _ in range(50)))
        assert len({job_id for job_id, _ in answers}) == 1
        assert sum(created for _, created in answers) == 1
        assert [await given.count(db, row) for row in (Job, IdempotencyKey, Event)] == [1, 1, 1]

    async def test_many_bodies_at_once_under_one_key_make_one_job(self, db: Database, project: Project) -> None:
        file = await given.dataset(db, project)

        async def ask(seed: int) -> bool:
            try:
                _, created = await given.create(db, project, given.request(file, idempotency_key="k", seed=seed))
                return created
            except Conflict:
                return False

        assert sum(await asyncio.gather(*(ask(seed) for seed in range(12)))) == 1
        assert await given.count(db, Job) == 1


def test_a_request_is_told_apart_by_its_whole_body() -> None:
    bodies = [{"model": "a"}, {"model": "b"}, {"model": "a", "seed": 1}, {"model": "a", "seed": None}]
    digests = {planning.Request(model="a", training_file="f", method=given.METHOD, body=body).digest for body in bodies}
    assert len(digests) == 4
