"""A job's curves, and what is new since a client last looked."""

from fettle.jobs import events
from models import JobStatus
from tests.api.tenants import Tenant

JOBS = "/v1/fine_tuning/jobs"


class TestMetrics:
    async def test_columns_are_of_equal_length_with_gaps_as_null(self, tenant: Tenant) -> None:
        job = await tenant.job()
        for data in (
            {"step": 1, "train_loss": 3.0},
            {"step": 2, "train_loss": 2.0, "valid_loss": 2.5},
            {"step": 2, "train_loss": 1.9},  # done again after a restart
        ):
            await tenant.log(job["id"], "Step", type="metrics", data=data)
        body = (await tenant.http.get(f"{JOBS}/{job['id']}/metrics")).json()
        assert body == {
            "object": "fine_tuning.job.metrics",
            "fine_tuning_job_id": job["id"],
            "last_id": body["last_id"],
            "columns": {"step": [1, 2], "train_loss": [3.0, 1.9], "valid_loss": [None, 2.5]},
        }

    async def test_a_reader_goes_on_where_it_stopped(self, tenant: Tenant) -> None:
        job = await tenant.job()
        path = f"{JOBS}/{job['id']}/metrics"
        await tenant.log(job["id"], "Step", type="metrics", data={"step": 1, "train_loss": 3.0})
        first = (await tenant.http.get(path, params={"points": 50})).json()
        assert first["series"] == {"train_loss": {"step": [1], "value": [3.0]}}
        nothing = (await tenant.http.get(path, params={"points": 50, "after": first["last_id"]})).json()
        assert (nothing["series"], nothing["last_id"]) == ({}, first["last_id"])
        await tenant.log(job["id"], "Step", type="metrics", data={"step": 2, "train_loss": 2.0})
        more = (await tenant.http.get(path, params={"points": 50, "after": first["last_id"]})).json()
        assert more["series"] == {"train_loss": {"step": [2], "value": [2.0]}}
        stranger = await tenant.http.get(path, params={"after": "ftevent-none"})
        assert (stranger.status_code, stranger.json()["error"]["param"]) == (400, "after")

    async def test_a_long_curve_comes_in_as_many_points_as_asked_for(self, tenant: Tenant) -> None:
        job = await tenant.job()
        for step in range(1, 301):
            await tenant.log(
                job["id"], "Step", type="metrics", data={"step": step, "train_loss": 1 / step, "tokens": step * 2.0**40}
            )
        answer = (await tenant.http.get(f"{JOBS}/{job['id']}/metrics", params={"points": 40})).json()
        steps = answer["series"]["train_loss"]["step"]
        assert (steps[0], steps[-1]) == (1, 300)
        assert 33 <= len(steps) <= 40

    async def test_a_curve_that_was_kept_goes_on_with_the_steps_that_came_since(self, tenant: Tenant) -> None:
        job = await tenant.job()
        path = f"{JOBS}/{job['id']}/metrics"

        async def train(first: int, last: int) -> None:
            async with tenant.db.transaction() as session:
                for step in range(first, last + 1):
                    events.add(session, job["id"], "Step", type="metrics", data={"step": step, "loss": step % 7})

        async def steps() -> list[int]:
            answer = (await tenant.http.get(path, params={"points": 40})).json()
            newest = (await tenant.http.get(f"{JOBS}/{job['id']}/events?limit=1")).json()["data"][0]
            assert answer["last_id"] == newest["id"]
            found: list[int] = answer["series"]["loss"]["step"]
            return found

        await train(1, 400)
        before = await steps()
        assert await steps() == before
        await train(401, 403)
        assert await steps() == [*before, 401, 402, 403]
        await train(402, 402)  # done again by a resumed run
        assert await steps() == [*before, 401, 402, 403]
        await train(404, 500)  # too many to add
        anew = await steps()
        assert (anew[0], anew[-1], len(anew) <= 40) == (1, 500, True)

    async def test_before_the_first_step_there_are_no_columns_but_step(self, tenant: Tenant) -> None:
        job = await tenant.job()
        assert (await tenant.http.get(f"{JOBS}/{job['id']}/metrics")).json()["columns"] == {"step": []}


class TestUpdates:
    async def test_they_are_the_job_its_messages_and_its_steps_after_an_event(self, tenant: Tenant) -> None:
        job = await tenant.job()
        path = f"{JOBS}/{job['id']}"
        created = (await tenant.http.get(f"{path}/events")).json()["data"][0]["id"]
        nothing = (await tenant.http.get(f"{path}/updates", params={"after": created})).json()
        assert nothing == {
            "object": "fine_tuning.job.updates",
            "fine_tuning_job_id": job["id"],
            "last_id": created,
            "has_more": False,
            "job": (await tenant.http.get(path)).json(),
            "messages": [],
            "series": {},
        }
        await tenant.log(job["id"], "Training has begun")
        await tenant.log(job["id"], "Step", type="metrics", data={"step": 1, "train_loss": 3.0})
        await tenant.log(job["id"], "Step", type="metrics", data={"step": 2, "train_loss": 2.0})
        await tenant.end(job["id"], JobStatus.FAILED)
        body = (await tenant.http.get(f"{path}/updates", params={"after": created})).json()
        assert body["job"]["status"] == "failed"
        assert [event["message"] for event in body["messages"]] == ["Training has begun"]
        assert body["series"] == {"train_loss": {"step": [1, 2], "value": [3.0, 2.0]}}
        newest = (await tenant.http.get(f"{path}/events?limit=1")).json()["data"][0]["id"]
        assert body["last_id"] == newest

    async def test_many_come_in_parts(self, tenant: Tenant) -> None:
        job = await tenant.job()
        path = f"{JOBS}/{job['id']}"
        last = (await tenant.http.get(f"{path}/events")).json()["data"][0]["id"]
        async with tenant.db.transaction() as session:
            for step in range(1, 61):
                events.add(session, job["id"], "Step", type="metrics", data={"step": step, "loss": 1.0})
        first = (await tenant.http.get(f"{path}/updates", params={"after": last})).json()
        rest = (await tenant.http.get(f"{path}/updates", params={"after": first["last_id"]})).json()
        assert (first["has_more"], rest["has_more"]) == (True, False)
        assert first["series"]["loss"]["step"] + rest["series"]["loss"]["step"] == list(range(1, 61))

    async def test_each_asks_about_its_own_job(self, tenant: Tenant, other: Tenant) -> None:
        one, two = await tenant.job(), await tenant.job()
        event = (await tenant.http.get(f"{JOBS}/{two['id']}/events")).json()["data"][0]["id"]
        unknown = await tenant.http.get(f"{JOBS}/{one['id']}/updates", params={"after": event})
        assert (unknown.status_code, unknown.json()["error"]["param"]) == (400, "after")
        stranger = await other.http.get(f"{JOBS}/{two['id']}/updates", params={"after": event})
        assert stranger.status_code == 404

    async def test_without_an_event_they_begin_with_the_newest_messages(self, tenant: Tenant) -> None:
        job = await tenant.job()
        path = f"{JOBS}/{job['id']}"
        for number in range(101):
            await tenant.log(job["id"], str(number))
        await tenant.log(job["id"], "Step", type="metrics", data={"step": 1, "loss": 1.0})
        body = (await tenant.http.get(f"{path}/updates")).json()
        assert [event["message"] for event in body["messages"]] == [str(number) for number in range(1, 101)]
        assert (body["series"], body["has_more"]) == ({}, False)
        assert body["last_id"] == (await tenant.http.get(f"{path}/events?limit=1")).json()["data"][0]["id"]
