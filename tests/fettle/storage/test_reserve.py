import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from fettle.datasets import files
from fettle.db import Database, DatabaseFull
from fettle.jobs import events, leases, lifecycle
from fettle.settings import Settings
from fettle.storage import reserve
from fettle.tenancy import projects
from models import File, Job, JobStatus
from tests.databases import upgraded
from tests.fettle import given

SIZE = 32  # MiB


def settings_at(folder: Path) -> Settings:
    return Settings(_env_file=None, data=folder, database=f"sqlite+aiosqlite:///{folder}/fettle.db")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / uuid.uuid4().hex
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> None:
    with (folder / "ballast").open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


class TestFullDisk:
    async def test_a_cancel_a_delete_and_a_jobs_end_get_through(self, disk: Path) -> None:
        settings = settings_at(disk)
        db = await upgraded(Database(settings.database))
        try:
            async with db.transaction() as session:
                project = await projects.ensure(session, "default")
            running = await given.claimed(db, project)
            queued, data = await given.job(db, project), await given.dataset(db, project)
            reserve.make(settings)
            fill(disk)
            with pytest.raises(DatabaseFull):
                async with db.transaction() as session:
                    events.add(session, queued.id, "x" * 100_000)
            reserve.release(settings)
            async with db.transaction() as session:
                await lifecycle.cancel(session, project.id, queued.id)
            async with db.transaction() as session:
                await files.delete(session, project.id, data.id)
            async with db.transaction() as session:
                row = await leases.hold(session, running.id, running.fence)
                leases.fail(session, row, "disk_full", "The worker's disk is full.")
            async with db.snapshot() as session:
                ends = dict((await session.execute(select(Job.id, Job.status))).all())
                assert await session.get(File, data.id) is None
            assert ends == {running.id: JobStatus.FAILED, queued.id: JobStatus.CANCELLED}
            (disk / "ballast").unlink()
            reserve.make(settings)
            assert (disk / "reserve").stat().st_size == reserve.SIZE
        finally:
            await db.close()


class TestMake:
    def test_it_takes_real_room_once(self, tmp_path: Path) -> None:
        reserve.make(settings_at(tmp_path))
        first = (tmp_path / "reserve").stat()
        assert first.st_size == reserve.SIZE
        assert first.st_blocks * 512 >= reserve.SIZE  # no hole
        reserve.make(settings_at(tmp_path))
        assert (tmp_path / "reserve").stat().st_mtime_ns == first.st_mtime_ns
        assert [path.name for path in tmp_path.iterdir()] == ["reserve"]

    def test_a_disk_with_little_room_is_left_alone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=4 * reserve.SIZE - 1))
        reserve.make(settings_at(tmp_path))
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("database", ["postgresql+asyncpg://u@h/d", "sqlite+aiosqlite:///:memory:"])
    def test_a_database_that_is_no_file_has_none(self, tmp_path: Path, database: str) -> None:
        settings = settings_at(tmp_path).model_copy(update={"database": database})
        assert reserve.path(settings) is None
        reserve.make(settings)
        reserve.release(settings)
        assert list(tmp_path.iterdir()) == []


class TestRelease:
    @pytest.mark.parametrize(("free", "stays"), [(reserve.LOW - 1, False), (reserve.LOW, True)])
    def test_only_a_full_disk_gets_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, stays: bool
    ) -> None:
        reserve.make(settings_at(tmp_path))
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))
        reserve.release(settings_at(tmp_path))
        assert (tmp_path / "reserve").exists() == stays
