"""Real parts, started once: Redis, PostgreSQL, an S3 endpoint. Each test gets a database and a storage of its own."""

import gc
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis
from redis.exceptions import RedisError

pytest_plugins = ["tests.skips"]

gc.disable()  # until the tests are collected: what they import stays

os.environ.update(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
for name in [name for name in os.environ if name.startswith("FETTLE_") and not name.startswith("FETTLE_TEST_")]:
    del os.environ[name]  # a developer's own settings must not reach the tests

from fettle.cli.up import free_port, redis_server  # noqa: E402 — after the environment
from fettle.db import Database  # noqa: E402
from fettle.settings import Settings  # noqa: E402
from fettle.tenancy import api_keys, projects  # noqa: E402
from models import Project  # noqa: E402
from tests import databases  # noqa: E402

ONE_SERVER = ("faults", "console")  # folders whose tests share a server that is dear
ALL_SLOW = re.compile(r"^pytestmark = .*pytest\.mark\.slow\b", re.MULTILINE)
LONG = ("faults", "console", "worker/ray", "e2e", "conformance", "examples", "docs", "worker")  # folders of long tests


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The tests of a file, or of a folder with one server, stay in one process.

    xdist's own groups do not: pytest 9.2 no longer lets it put them into the names of tests.
    """
    from xdist.scheduler import LoadFileScheduling

    class ByServer(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            folder = file.removeprefix("tests/").partition("/")[0]
            return folder if folder in ONE_SERVER else file

    return ByServer(config, log)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where slow tests are left out, a file of nothing else is not even imported: most of those bring torch and TRL."""
    left_out = config.option.markexpr == "not slow" and collection_path.suffix == ".py"
    return True if left_out and ALL_SLOW.search(collection_path.read_text()) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first: started last, one of them would run alone while the other processes have nothing to do."""
    root = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        return next((place for place, folder in enumerate(LONG) if item.path.is_relative_to(root / folder)), len(LONG))

    items.sort(key=place)  # stable


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("redis")
    while True:
        port = free_port()
        command = [redis_server(), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder)
        if is_up(server, port):
            break
    yield f"redis://127.0.0.1:{port}/0"
    server.terminate()
    server.wait()


def is_up(server: subprocess.Popen[bytes], port: int) -> bool:
    """Waits until this very server answers. False if it ended, as when another process took the port first."""
    with Redis(port=port) as client:
        while server.poll() is None:
            try:
                return bool(client.info("server")["process_id"] == server.pid)
            except RedisError:
                time.sleep(0.02)
    return False


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """A real server: the URL of the database that it begins with."""
    from tests import postgresql

    folder = Path(tempfile.mkdtemp(prefix="fettle-postgresql-"))  # not pytest's: the server runs as another user
    server = postgresql.start(folder)
    socket_folder = server.get_uri().split("host=")[1]
    yield f"postgresql+asyncpg://postgres@/postgres?host={socket_folder}"
    server.cleanup()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """moto's server: faithful for objects and multipart uploads, not for signatures or expiry."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Embedded defaults in a folder of the test's own; nothing listens on its ports."""
    return Settings(data=tmp_path, redis_url="redis://127.0.0.1:1/0", engine_url="http://127.0.0.1:1")


KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]


@pytest.fixture(params=KINDS)
async def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind without tables."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'fettle.db'}"
    return await databases.new_on(request.getfixturevalue("postgresql"))


@pytest.fixture(params=KINDS)
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind, migrated and without rows."""
    if request.param == "sqlite":
        await databases.copy_sqlite(tmp_path / "fettle.db")
        return f"sqlite+aiosqlite:///{tmp_path / 'fettle.db'}"
    return await databases.emptied_on(request.getfixturevalue("postgresql"))


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
async def project(db: Database) -> Project:
    async with db.transaction() as session:
        return await projects.ensure(session, "default")


class Api:
    """The application in this process, and clients for its tenants."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def client(self, project: str = "default", *granted: str, **key: Any) -> httpx.AsyncClient:
        """Speaks with a key of this project that may do everything there, or what is granted."""
        state = self.app.state
        async with state.db.transaction() as session:
            owner = await projects.ensure(session, project)
            _, secret = await api_keys.create(
                session, owner.id, "test", state.pepper, key_scopes=granted or ("all",), **key
            )
        return self.stranger(secret)

    def stranger(self, key: str | None = None) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=False),
            base_url="http://fettle",
            headers={"Authorization": f"Bearer {key}"} if key else {},
        )
