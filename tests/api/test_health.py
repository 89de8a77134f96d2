import asyncio
import errno
from pathlib import Path
from typing import Any, cast

import pytest

from fettle.db import Database, DatabaseFull
from fettle.observability.logs import LogStream
from fettle.storage import Away, Refused
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
            "log": "ok",
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

    async def test_a_database_without_tables_is_not_ready(self, tmp_path: Path) -> None:
        async with running(settings_in(tmp_path)) as api:
            here, api.app.state.db = api.app.state.db, Database(f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}")
            async with api.stranger() as http:
                answer = await http.get("/readyz")
            await api.app.state.db.close()
            api.app.state.db = here
        assert (answer.status_code, answer.json()["database"]) == (503, "not_migrated")

    @pytest.mark.parametrize(
        ("error", "state"),
        [(Refused("x", "403"), "refused"), (Away("x"), "away"), (OSError(errno.ENOSPC, "no room"), "full")],
    )
    async def test_a_store_that_lists_and_takes_nothing_is_not_ready(
        self, tmp_path: Path, error: Exception, state: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def put(key: str, chunks: object) -> int:
            raise error

        async with running(settings_in(tmp_path)) as api, api.stranger() as http:
            monkeypatch.setattr(api.app.state.storage, "put", put)
            answer = await http.get("/readyz")
        assert (answer.status_code, answer.json()["storage"]) == (503, state)

    async def test_a_full_database_is_named_so(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def plan(*_: object, **__: object) -> None:
            raise DatabaseFull("database or disk is full")

        async with running(settings_in(tmp_path)) as api, api.stranger() as http:
            monkeypatch.setattr("api.readiness.deletions.plan", plan)
            answer = await http.get("/readyz")
        assert (answer.status_code, answer.json()["database"]) == (503, "full")

    async def test_what_was_found_is_kept_for_a_moment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async with running(settings_in(tmp_path)) as api, api.stranger() as http:
            writes = 0
            put = api.app.state.storage.put

            async def counted(key: str, chunks: Any) -> int:
                nonlocal writes
                writes += 1
                return cast(int, await put(key, chunks))

            monkeypatch.setattr(api.app.state.storage, "put", counted)
            await asyncio.gather(*(http.get("/readyz") for _ in range(20)))
        assert writes == 1

    async def test_a_log_that_cannot_be_written_is_not_ready(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        api.app.state.readiness.states.clear()
        monkeypatch.setattr(LogStream, "failing", True)
        async with api.stranger() as http:
            answer = await http.get("/readyz")
        api.app.state.readiness.states.clear()
        assert (answer.status_code, answer.json()["log"]) == (503, "away")

    async def test_what_is_away_is_named_without_details(self, api: Api) -> None:
        async with api.stranger() as http:
            text = (await http.get("/readyz")).text
        assert "127.0.0.1" not in text
        assert "Error" not in text
