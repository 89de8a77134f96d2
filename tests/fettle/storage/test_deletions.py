from pathlib import Path

import pytest

from fettle.db import Database
from fettle.errors import Unavailable
from fettle.storage import Away, LocalStorage, artifacts, deletions


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(str(tmp_path / "storage"))


async def test_what_storage_did_not_delete_is_deleted_by_the_next_sweep(
    db: Database, storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(prefix: str) -> None:
        raise Away(prefix)

    await artifacts.put_bytes(storage, "files/p/f", b"x")
    async with db.transaction() as session:
        await deletions.plan(session, "files/p/f")
    with monkeypatch.context() as outage:
        outage.setattr(storage, "delete", away)
        assert not await deletions.carry_out(db, storage, "files/p/f")
        assert await deletions.sweep(db, storage) == []
    assert await deletions.sweep(db, storage) == ["files/p/f"]
    assert await storage.list("files") == []
    assert await deletions.sweep(db, storage) == []


async def test_an_upload_has_its_time_and_then_its_object_goes(db: Database, storage: LocalStorage) -> None:
    for key, seconds in (("files/p/new", 60), ("files/p/dead", -1)):
        await artifacts.put_bytes(storage, key, b"x")
        async with db.transaction() as session:
            await deletions.plan(session, key, seconds=seconds)
    assert await deletions.sweep(db, storage) == ["files/p/dead"]
    assert await storage.list("files") == ["files/p/new"]
    async with db.transaction() as session:
        await deletions.strike_out(session, "files/p/new")
        with pytest.raises(Unavailable):
            await deletions.strike_out(session, "files/p/dead")
