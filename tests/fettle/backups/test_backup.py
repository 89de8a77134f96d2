"""A backup is of one moment, whole, and goes into either kind of database and storage."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from alembic import command

from fettle import ids, migrate
from fettle.backups import archive, backup, database, restore
from fettle.datasets import files
from fettle.db import Database
from fettle.errors import Conflict, FettleError
from fettle.jobs import events
from fettle.settings import Settings
from fettle.storage import LocalStorage, Storage, artifacts, open_storage
from fettle.tenancy import audit
from models import Base, Checkpoint, File, JobStatus, Project, TunedModel, Worker
from tests import databases
from tests.fettle import given
from tests.fettle.storage.conftest import CREDENTIALS
from tests.fettle.storage.streams import s3_settings

SECRET = b"pepper"


@pytest.fixture
def storage(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Storage:
    """A folder beside SQLite, S3 beside PostgreSQL."""
    if database_url.startswith("sqlite"):
        return open_storage(Settings(data=tmp_path))
    endpoint, bucket = request.getfixturevalue("s3_endpoint"), f"backup-{tmp_path.name.replace('_', '-').lower()}"
    boto3.client("s3", endpoint_url=endpoint, **CREDENTIALS).create_bucket(Bucket=bucket)
    return open_storage(s3_settings(endpoint, f"s3://{bucket}/some/prefix"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backup"


async def add_file(db: Database, storage: Storage, project: Project, content: bytes) -> File:
    file = await given.dataset(db, project)
    await artifacts.put_bytes(storage, file.storage_key, content)
    return file


async def add_model(db: Database, storage: Storage, project: Project, folder: Path, **job: Any) -> str:
    """A job with a checkpoint and a tuned model. Returns the prefix of the model."""
    made = await given.job(db, project, **job)
    await artifacts.put_bytes(storage, files.storage_key(project.id, made.training_file), b"the rows")
    prefix, saved = f"jobs/{made.id}/1/adapter", f"jobs/{made.id}/1/checkpoints/step-000008"
    source = folder / ids.new("source")
    source.mkdir()
    (source / "adapter_model.safetensors").write_bytes(made.id.encode() * 1000)
    (source / "adapter_config.json").write_text("{}")
    await artifacts.upload(storage, source, prefix)
    (source / "optimizer.safetensors").write_bytes(b"o" * 5000)
    await artifacts.upload(storage, source, saved)
    shutil.rmtree(source)
    async with db.transaction() as session:
        common = {"project_id": project.id, "job_id": made.id}
        session.add(TunedModel(**common, name=f"ft:starter:default::{made.id}", base_model="starter", prefix=prefix))
        session.add(
            Checkpoint(**common, id=ids.new("c"), name=f"{made.id}:ckpt", step=8, metrics={"a": None}, prefix=saved)
        )
        events.add(session, made.id, 'a "message" ü', data={"n": [1, None]})
        audit.by_operator(session, "projects.create", "fettle projects create", project.id, project.id)
    return prefix


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # a pool may keep a connection


async def contents(db: Database) -> dict[str, list[Any]]:
    """Every row, with the database's own values."""
    async with db.snapshot() as session:
        return {
            table.name: sorted((dict(row) for row in (await session.execute(table.select())).mappings()), key=repr)
            for table in Base.metadata.sorted_tables
        }


async def objects(storage: Storage) -> dict[str, bytes]:
    return {key: await storage.read(key) for root in restore.ROOTS for key in await storage.list(root)}


@pytest.fixture
async def other(tmp_path: Path, database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """An empty target of the same kind."""
    if database_url.startswith("sqlite"):
        url = f"sqlite+aiosqlite:///{tmp_path / 'other' / 'fettle.db'}"
        (tmp_path / "other").mkdir()
    else:
        url = await databases.new_on(request.getfixturevalue("postgresql"))
    db = Database(url)
    yield db
    await db.close()


async def test_all_comes_back_as_it_was(
    db: Database, storage: Storage, project: Project, folder: Path, tmp_path: Path, other: Database
) -> None:
    prefix = await add_model(db, storage, project, tmp_path, status=JobStatus.SUCCEEDED, labels={"n": None})
    await add_file(db, storage, project, b"rows\n" * 1000)
    before, stored = await contents(db), await objects(storage)
    seal = await backup.back_up(db, storage, folder, SECRET)
    assert (seal.lost, seal.objects) == ({}, len(stored)) and seal.bytes == sum(map(len, stored.values()))
    for root in restore.ROOTS:
        await storage.delete(root)
    progress = restore.Progress()
    await restore.restore(other, storage, folder, SECRET, progress=progress)
    assert await contents(other) == before
    assert await objects(storage) == stored
    assert (progress.stored, progress.there) == (len(stored), 0)
    assert (await artifacts.manifest(storage, prefix)).files
    laptop = Database(f"sqlite+aiosqlite:///{tmp_path / 'laptop.db'}")  # whatever the backup was made of
    await restore.restore(laptop, LocalStorage(str(tmp_path / "laptop")), folder, SECRET)
    assert await contents(laptop) == before
    await laptop.close()
    async with other.transaction() as session:  # what counts up by itself goes on behind the last row
        job_id = before["jobs"][0]["id"]
        events.add(session, job_id, "later")
        await session.flush()
        assert (await events.since(session, job_id, max(row["seq"] for row in before["events"])))[0].message == "later"


async def test_what_is_deleted_while_it_is_copied_is_in_the_backup_whole_or_not_at_all(
    db: Database, storage: Storage, project: Project, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = await add_file(db, storage, project, b"soon deleted")
    stays = await add_file(db, storage, project, b"stays")
    dump = database.dump

    async def delete_behind(source: Database, path: Path) -> None:
        await dump(source, path)
        await storage.delete(gone.storage_key)
        async with db.transaction() as session:
            if row := await session.get(File, gone.id):
                await session.delete(row)

    monkeypatch.setattr(database, "dump", delete_behind)
    seal = await backup.back_up(db, storage, folder, SECRET)
    assert (seal.lost, seal.objects, seal.rows["files"]) == ({}, 1, 1)
    assert [path.read_bytes() for path in (folder / "objects" / "files").rglob("*") if path.is_file()] == [b"stays"]
    assert stays.storage_key and (await restore.check(folder)).id == seal.id


class TestSmall:
    """What does not depend on the kind: SQLite and a folder."""

    @pytest.fixture
    async def database_url(self, tmp_path: Path) -> str:
        await databases.copy_sqlite(tmp_path / "fettle.db")
        return f"sqlite+aiosqlite:///{tmp_path / 'fettle.db'}"

    async def test_what_the_database_names_and_storage_lacks_is_told(
        self, db: Database, storage: Storage, project: Project, folder: Path, tmp_path: Path, other: Database
    ) -> None:
        prefix = await add_model(db, storage, project, tmp_path)
        lost = await add_file(db, storage, project, b"lost")
        await storage.delete(lost.storage_key)
        await artifacts.put_bytes(storage, f"{prefix}/adapter_config.json", b"[]")
        seal = await backup.back_up(db, storage, folder, SECRET)
        assert seal.lost == {
            lost.storage_key: "It is not in storage.",
            f"{prefix}/adapter_config.json": "It does not have the sha256 of its manifest.",
        }
        empty = LocalStorage(str(tmp_path / "empty"))
        await restore.restore(other, empty, folder, SECRET)
        assert set(await objects(empty)) == set(await objects(storage)) - seal.lost.keys()

    async def test_an_interrupted_backup_goes_on_and_the_one_before_holds_until_then(
        self, db: Database, storage: Storage, project: Project, folder: Path, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        old = await add_file(db, storage, project, b"old")
        first = await backup.back_up(db, storage, folder, SECRET)
        await add_model(db, storage, project, tmp_path)
        async with db.transaction() as session:
            await session.delete(await session.get_one(File, old.id))
        await storage.delete(old.storage_key)
        note = archive.Archive.note

        def die(kept: archive.Archive, key: str, *rest: Any) -> None:
            if key.endswith("optimizer.safetensors"):
                raise OSError("no space left")
            note(kept, key, *rest)

        with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
            patch.setattr(archive.Archive, "note", die)
            await backup.back_up(db, storage, folder, SECRET)
        checked = restore.Progress()
        assert (await restore.check(folder, checked)).id == first.id and checked.checked == 1
        progress = backup.Progress()
        seal = await backup.back_up(db, storage, folder, SECRET, progress=progress)
        assert progress.kept > 0 and progress.copied > 0 and seal.objects == len(await objects(storage))
        assert not (folder / "objects" / old.storage_key).exists()
        assert [path.name for path in folder.glob("database-*")] == [f"database-{seal.id}.sqlite"]

    async def test_an_interrupted_restore_goes_on(
        self, db: Database, storage: Storage, project: Project, folder: Path, tmp_path: Path, other: Database,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        await add_model(db, storage, project, tmp_path)
        await backup.back_up(db, storage, folder, SECRET)
        empty = LocalStorage(str(tmp_path / "empty"))

        async def away(*_: Any) -> None:
            raise OSError("no space left")

        with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
            patch.setattr(database, "load", away)
            await restore.restore(other, empty, folder, SECRET)
        assert await database.rows_in(other) == {}
        progress = restore.Progress()
        await restore.restore(other, empty, folder, SECRET, progress=progress)
        assert (progress.stored, progress.there) == (0, len(await objects(storage)))
        assert await contents(other) == await contents(db)

    async def test_a_changed_byte_is_found_before_anything_is_written(
        self, db: Database, storage: Storage, project: Project, folder: Path, tmp_path: Path, other: Database
    ) -> None:
        prefix = await add_model(db, storage, project, tmp_path)
        seal = await backup.back_up(db, storage, folder, SECRET)
        empty = LocalStorage(str(tmp_path / "empty"))
        for path in (folder / "objects" / prefix / "adapter_model.safetensors", folder / f"database-{seal.id}.sqlite"):
            whole = path.read_bytes()
            path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
            with pytest.raises(archive.Damaged, match=path.name):
                await restore.check(folder)
            with pytest.raises(archive.Damaged, match=path.name):
                await restore.restore(other, empty, folder, SECRET)
            assert await database.rows_in(other) == {}
            path.write_bytes(whole)
        assert (await restore.check(folder)).id == seal.id

    async def test_a_backup_on_a_read_only_file_system_can_be_checked_and_restored(
        self, db: Database, storage: Storage, project: Project, folder: Path, tmp_path: Path, other: Database
    ) -> None:
        if os.geteuid() != 0:
            pytest.skip("mounting a small disk takes root")
        await add_model(db, storage, project, tmp_path)
        seal = await backup.back_up(db, storage, folder, SECRET)
        with read_only(folder):
            assert (await restore.check(folder)).id == seal.id
            await restore.restore(other, LocalStorage(str(tmp_path / "empty")), folder, SECRET)
        assert await contents(other) == await contents(db)

    async def test_a_target_in_use_is_refused_unless_told(
        self, db: Database, storage: Storage, project: Project, folder: Path, tmp_path: Path, other: Database
    ) -> None:
        await add_file(db, storage, project, b"rows")
        seal = await backup.back_up(db, storage, folder, SECRET)
        await databases.upgraded(other)
        used = LocalStorage(str(tmp_path / "used"))
        await artifacts.put_bytes(used, "files/proj_x/file-x", b"others")
        with pytest.raises(Conflict, match="Storage is not empty: it has 'files/proj_x/file-x'"):
            await restore.restore(other, used, folder, SECRET)
        with pytest.raises(Conflict, match="secret is not the one"):
            await restore.restore(other, LocalStorage(str(tmp_path / "empty")), folder, b"other pepper")
        async with other.transaction() as session:
            session.add(Project(id="proj_x", name="x"))
            session.add(Worker(id="w", host="box", version="1", slots=[], base_models=[], started_at=0, seen_at=9e12))
        with pytest.raises(Conflict, match="is not empty: projects has rows"):
            await restore.restore(other, storage, folder, SECRET)
        with pytest.raises(Conflict, match="A worker on box uses this database"):
            await restore.restore(other, used, folder, SECRET, overwrite=True)
        async with other.transaction() as session:
            await session.delete(await session.get_one(Worker, "w"))
        assert (await restore.restore(other, used, folder, b"other pepper", overwrite=True)).id == seal.id
        assert await contents(other) == await contents(db)
        assert set(await objects(used)) == {"files/proj_x/file-x", *await objects(storage)}

    async def test_a_folder_with_other_things_and_a_second_process_are_refused(
        self, db: Database, storage: Storage, folder: Path
    ) -> None:
        folder.mkdir()
        (folder / "holiday.jpg").touch()
        with pytest.raises(FettleError, match="has other files and no backup"):
            await backup.back_up(db, storage, folder, SECRET)
        with pytest.raises(FettleError, match=r"is not a backup: it has no backup\.json"):
            await restore.check(folder)
        (folder / "holiday.jpg").unlink()
        with archive.opened(folder, new=True), pytest.raises(FettleError, match="Another `fettle backup`"):
            await backup.back_up(db, storage, folder, SECRET)
        with pytest.raises(FettleError, match="no finished backup"):
            await restore.check(folder)

    async def test_a_backup_of_an_earlier_schema_is_brought_up_and_of_a_later_one_refused(
        self, db: Database, storage: Storage, project: Project, folder: Path, tmp_path: Path, other: Database
    ) -> None:
        file = await add_file(db, storage, project, b"rows")
        seal = await backup.back_up(db, storage, folder, SECRET)
        async with db.engine.begin() as connection:
            await connection.run_sync(lambda sync: command.downgrade(migrate.config(sync), "0025"))
        await db.close()
        dump = folder / f"database-{seal.id}.sqlite"
        dump.unlink()
        database.copy_file(tmp_path / "fettle.db", dump)
        changes = {"revision": "0025", "database_sha256": artifacts.digest(dump)}
        with archive.opened(folder) as kept:
            kept.write_seal(seal.model_copy(update=changes))
        await restore.restore(other, LocalStorage(str(tmp_path / "empty")), folder, SECRET)
        assert (await migrate.revisions(other))[0] == migrate.known()[0]
        async with other.snapshot() as session:
            assert (await session.get_one(File, file.id)).storage_key == file.storage_key
        with archive.opened(folder) as kept:
            kept.write_seal(seal.model_copy(update=changes | {"revision": "9999"}))
        with pytest.raises(FettleError, match="schema 9999, and this release knows"):
            await restore.check(folder)
