"""Redis and PostgreSQL go away in the middle of a run, and come back."""

import asyncio
import time

import pytest
from openai import OpenAI
from redis import Redis

from fettle.queue import QUEUE
from tests.e2e.conftest import wait_for
from tests.faults.conftest import House

pytestmark = pytest.mark.slow


class TestRedis:
    def test_without_it_jobs_are_accepted_started_and_finished(self, house: House) -> None:
        running = house.job(rows=160)
        house.training(running)
        house.redis.stop()
        posted = house.job()
        house.assert_success(posted, attempts=1)
        house.assert_success(running, attempts=1)
        house.redis.start()
        house.assert_success(house.job(), attempts=1)
        redis = Redis.from_url(house.redis.url)
        wait_for(lambda: redis.zcard(QUEUE) == 0, 60, "the workers to listen to the bell again")
        redis.close()

    def test_emptied_it_takes_no_queued_job_with_it(self, house: House) -> None:
        waiting = [house.job() for _ in range(4)]  # of two workers
        redis = Redis.from_url(house.redis.url)
        redis.flushall()
        redis.close()
        for job_id in waiting:
            house.assert_success(job_id, attempts=1)


class TestPostgresql:
    def test_away_for_longer_than_the_lease_it_costs_no_attempt(self, house: House) -> None:
        job_id = house.job(rows=160)
        house.training(job_id)
        house.pg_ctl("stop")
        time.sleep(house.settings.lease_seconds + 1)
        house.pg_ctl("start")
        house.assert_success(job_id, attempts=1)

    def test_a_worker_that_is_told_to_stop_while_it_is_away_ends_all_the_same(self, house: House) -> None:
        job_id = house.job(rows=160)
        worker, child = house.training(job_id)
        house.pg_ctl("stop")
        worker.terminate()
        assert worker.wait(60) == 0
        wait_for(lambda: not child.is_running(), 30, "the child to end with it")
        house.pg_ctl("start")
        house.assert_success(job_id, attempts=2)

    def test_while_it_restarts_a_client_that_retries_notices_nothing(self, house: House) -> None:
        patient = OpenAI(api_key=house.key, base_url=f"{house.url}/v1", max_retries=5)
        job_id = house.job()

        async def both() -> None:
            restart = asyncio.create_task(asyncio.to_thread(house.pg_ctl, "restart"))
            while not restart.done():
                await asyncio.to_thread(patient.fine_tuning.jobs.retrieve, job_id)
            await restart

        asyncio.run(both())
        patient.close()
        house.assert_success(job_id, attempts=1)
