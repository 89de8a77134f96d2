"""A house on PostgreSQL and S3 is copied while it works, and a second one is built from the copy."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from fettle.backups import backup, restore
from fettle.cli.up import free_port
from fettle.db import Database
from fettle.settings import Settings
from fettle.storage import Storage, open_storage
from tests.faults import invariants
from tests.faults.conftest import House

pytestmark = pytest.mark.slow
SECRET = b"the same for both"


@contextlib.contextmanager
def restored(house: House, folder: Path) -> Iterator[House]:
    """A house on a database, a prefix of the bucket and a data folder of its own."""
    url = make_url(house.settings.database).set(database="restored")
    own = {
        "data": folder.parent / "restored" / "data",
        "port": free_port(),
        "database_url": url.render_as_string(hide_password=False),
        "storage_url": f"{house.settings.storage}/restored",
    }
    settings = Settings(**(house.settings.model_dump(exclude_unset=True) | own))
    asyncio.run(fill(house.settings, settings, folder))
    second = House(settings, house.postgresql, house.redis, house.proxy)
    yield second
    second.stop()


async def fill(before: Settings, after: Settings, folder: Path) -> None:
    admin = create_async_engine(before.database, isolation_level="AUTOCOMMIT")
    async with admin.connect() as connection:
        await connection.execute(text("CREATE DATABASE restored"))
    await admin.dispose()
    after.data.mkdir(parents=True)
    db = Database(after.database)
    await restore.restore(db, open_storage(after), folder, SECRET)
    await db.close()


def test_a_second_house_trains_on_what_the_first_one_was_training(house: House, tmp_path: Path) -> None:
    folder, running = tmp_path / "backup", house.job(rows=64, epochs=8)
    house.wait_for_message(running, "Checkpoint created at step 8", 120)
    stop = threading.Event()

    def keep_uploading() -> None:
        row = ("a.jsonl", b'{"prompt": "1", "completion": "2"}')
        while not stop.is_set():
            file = house.http.post("/v1/files", files={"file": row}, data={"purpose": "fine-tune"}).json()["id"]
            house.http.delete(f"/v1/files/{file}")

    async def copy(db: Database, storage: Storage) -> None:
        assert (await backup.back_up(db, storage, folder, SECRET)).lost == {}

    uploading = threading.Thread(target=keep_uploading)
    uploading.start()
    house.look(copy)
    stop.set()
    uploading.join()
    house.assert_success(running, attempts=1)
    with restored(house, folder) as second:
        second.assert_success(running, attempts=2)
        assert any(message.startswith("Resuming after step") for message in second.messages(running))
        assert second.losses(running) == house.losses(running)
        second.look(lambda db, storage: invariants.assert_hold(db, storage, {running}, set()))
