"""A shell for commands, alone or with a real API that runs beside it. Its engine is a stub, and no worker runs."""

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import structlog

from api.app import create_app
from fettle.cli import main, up
from fettle.db import Database
from fettle.host import data_folder
from fettle.settings import Settings
from fettle.storage import Storage, open_storage
from tests.api.served import served
from tests.api.stub_engine import StubEngine
from tests.api.tenants import settings_in
from tests.databases import copy_sqlite

T = TypeVar("T")
MIGRATIONS = Path(__file__).parents[3] / "migrations" / "versions"
NEWEST = max(file.name[:4] for file in MIGRATIONS.glob("0*.py"))


class Shell:
    """Runs `fettle …` in this process, with a data folder of its own and nothing else on the machine."""

    def __init__(self, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.data, self.capsys, self.monkeypatch = data, capsys, monkeypatch
        self.monkeypatch.setenv("XDG_CONFIG_HOME", str(data.parent / "config"))
        self.set(DATA=data, REDIS_URL="redis://127.0.0.1:1/0", ENGINE_URL="http://127.0.0.1:1")

    def set(self, **settings: object) -> None:
        for name, value in settings.items():
            self.monkeypatch.setenv(f"FETTLE_{name}", str(value))

    def run(self, *words: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        self.monkeypatch.setattr(sys, "argv", ["fettle", *words])
        with pytest.raises(SystemExit) as ended:
            main.main()
        out, err = self.capsys.readouterr()
        return int(ended.value.code or 0), out, err

    def json(self, *words: str) -> Any:
        return json.loads(self.ok(*words, "--json"))

    def ok(self, *words: str) -> str:
        code, out, err = self.run(*words)
        assert (code, err) == (0, "")
        return out

    def refused(self, *words: str, code: int = 1) -> str:
        """The one sentence on stderr."""
        ended, out, err = self.run(*words)
        assert (ended, out.strip()) == (code, "")
        assert err.startswith("error ")
        assert err.count("\n") == 1, err
        return err.removeprefix("error ").rstrip("\n")


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    return Shell(tmp_path / "data", capsys, monkeypatch)


@pytest.fixture
def migrated(shell: Shell) -> Shell:
    data_folder.prepare(shell.data)
    asyncio.run(copy_sqlite(shell.data / "fettle.db"))
    shell.ok("migrate")  # which finds nothing to do
    return shell


class Server:
    """A real API, and its stub of an engine."""

    def __init__(self, settings: Settings, url: str, engine: StubEngine) -> None:
        self.settings, self.url, self.engine = settings, url, engine
        self.key = (settings.data / "admin.key").read_text().strip()

    def change(self, work: Callable[[Database, Storage], Awaitable[T]]) -> T:
        """Does what a worker would: on the database and the storage of the API."""

        async def run() -> T:
            db = Database(self.settings.database)
            try:
                return await work(db, open_storage(self.settings))
            finally:
                await db.close()

        return asyncio.run(run())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    engine = StubEngine()
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))  # its log is not ours
    with served(engine.app) as engine_url:
        settings = settings_in(tmp_path_factory.mktemp("server"), engine_url=engine_url)
        asyncio.run(copy_sqlite(settings.data / "fettle.db"))
        asyncio.run(up.first_start(settings))
        with served(create_app(settings)) as url:
            yield Server(settings, url, engine)
    structlog.configure(**before)


@pytest.fixture
def asking(shell: Shell, server: Server) -> Shell:
    """A shell whose commands ask the server."""
    shell.set(URL=server.url, API_KEY=server.key)
    return shell
