import asyncio
from pathlib import Path

from fettle.db import Database
from tests.api.tenants import running, settings_in
from tests.conftest import Api


class TestAlive:
    async def test_it_needs_no_key(self, api: Api) -> None:
        async with api.stranger() as http:
            answer = await http.get("/healthz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


class TestReady:
    async def test_without_queue_and_engine_jobs_are_still_accepted(self, api: Api) -> None:
        async with api.stranger() as http:
            answer = await http.get("/readyz")
        assert answer.status_code == 200
        assert answer.json() == {
            "status": "ok",
            "database": "ok",
            "storage": "ok",
            "queue": "away",
            "engine": "away",
        }

    async def test_a_queue_that_answers_is_ok(self, tmp_path: Path, redis_url: str) -> None:
        async with running(settings_in(tmp_path, redis_url=redis_url)) as api, api.stranger() as http:
            for _ in range(100):  # Redis may be starting
                if (parts := (await http.get("/readyz")).json())["queue"] == "ok":
                    break
                await asyncio.sleep(0.05)
        assert parts["queue"] == "ok"

    async def test_without_the_database_it_is_not_ready(self, tmp_path: Path) -> None:
        async with running(settings_in(tmp_path)) as api:
            here, api.app.state.db = api.app.state.db, Database("postgresql+asyncpg://nobody@127.0.0.1:1/none")
            async with api.stranger() as http:
                answer = await http.get("/readyz")
            await here.close()
        assert answer.status_code == 503
        assert answer.json()["status"] == "unavailable"
        assert answer.json()["database"] == "away"

    async def test_what_is_away_is_named_without_details(self, api: Api) -> None:
        async with api.stranger() as http:
            text = (await http.get("/readyz")).text
        assert "127.0.0.1" not in text
        assert "Error" not in text
