"""A house on PostgreSQL and S3 is copied while it works; a worker on the copy goes on with what was running."""

import asyncio
import threading
from pathlib import Path

import pytest
from sqlalchemy import make_url, select, text
from sqlalchemy.ext.asyncio import create_async_engine

from fettle.backups import backup, restore
from fettle.db import Database
from fettle.settings import Settings
from fettle.storage import Storage, open_storage
from models import Event
from tests.e2e.conftest import wait_for
from tests.faults import invariants
from tests.faults.conftest import House

pytestmark = pytest.mark.slow
SECRET = b"the same for both"


def restored(house: House, folder: Path) -> House:
    """On a database, a prefix of the bucket and a data folder of its own. Nothing of it runs."""
    url = make_url(house.settings.database).set(database="restored")
    own = {
        "data": folder.parent / "restored",
        "database_url": url.render_as_string(hide_password=False),
        "storage_url": f"{house.settings.storage}/restored",
    }
    second = object.__new__(House)
    second.settings = Settings(**(house.settings.model_dump(exclude_unset=True) | own))
    second.data = second.settings.data / "data"
    second.data.mkdir(parents=True)
    asyncio.run(fill(house.settings, second.settings, folder))
    return second


async def fill(before: Settings, after: Settings, folder: Path) -> None:
    admin = create_async_engine(before.database, isolation_level="AUTOCOMMIT")
    async with admin.connect() as connection:
        await connection.execute(text("CREATE DATABASE restored"))
    await admin.dispose()
    db = Database(after.database)
    await restore.restore(db, open_storage(after), folder, SECRET)
    await db.close()


def history(house: House, job_id: str) -> tuple[list[str], list[float]]:
    """Messages, and the loss of each step."""

    async def read(db: Database, storage: Storage) -> list[Event]:
        async with db.snapshot() as session:
            return list(await session.scalars(select(Event).where(Event.job_id == job_id).order_by(Event.seq)))

    events = house.look(read)
    losses = {event.data["step"]: event.data["train_loss"] for event in events if "train_loss" in (event.data or {})}
    return [event.message for event in events], [round(losses[step], 9) for step in sorted(losses)]


def test_a_worker_on_the_copy_ends_what_the_first_house_was_training(house: House, tmp_path: Path) -> None:
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
    second = restored(house, folder)
    assert second.row(running).status == "running"
    worker = second.spawn("worker")
    try:
        wait_for(lambda: second.row(running).status != "running", 60, "its lease to end")
        wait_for(lambda: second.row(running).status in ("succeeded", "failed"), 120, "the job to end")
    finally:
        worker.terminate()
        worker.wait(60)
    messages, losses = history(second, running)
    assert second.row(running).status == "succeeded", messages
    assert any(message.startswith("Resuming after step") for message in messages)
    assert losses == history(house, running)[1]
    second.look(lambda db, storage: invariants.assert_hold(db, storage, {running}, set()))
