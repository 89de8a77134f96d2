import os
import time
from pathlib import Path

from fettle.storage import LocalStorage, stale_files

OLD = time.time() - stale_files.AGE - 60


def made(path: Path, *, old: bool) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    if old:
        os.utime(path, (OLD, OLD))
    return path


def aged(folder: Path) -> Path:
    os.utime(folder, (OLD, OLD))
    return folder


class TestSweep:
    def test_only_what_nobody_has_touched_for_a_day_goes(self, tmp_path: Path) -> None:
        made(tmp_path / "dead", old=True)
        made(tmp_path / "living", old=False)
        stale_files.sweep(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["living"]

    def test_a_folder_is_as_young_as_the_newest_file_in_it(self, tmp_path: Path) -> None:
        made(tmp_path / "living" / "adapter" / "part", old=False)
        aged(tmp_path / "living" / "adapter")
        made(tmp_path / "dead" / "adapter" / "part", old=True)
        for folder in ("living", "dead/adapter", "dead"):
            aged(tmp_path / folder)
        stale_files.sweep(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["living"]

    def test_what_does_not_match_is_not_looked_at(self, tmp_path: Path) -> None:
        made(tmp_path / "kept", old=True)
        made(tmp_path / "tmpabc", old=True)
        stale_files.sweep(tmp_path, "tmp*")
        assert [path.name for path in tmp_path.iterdir()] == ["kept"]

    def test_a_folder_that_is_not_there_is_clean(self, tmp_path: Path) -> None:
        stale_files.sweep(tmp_path / "nowhere")


def test_local_storage_forgets_unfinished_uploads_and_never_an_object(tmp_path: Path) -> None:
    made(tmp_path / ".aside" / "unfinished", old=True)
    made(tmp_path / "files" / "object", old=True)
    storage = LocalStorage(str(tmp_path))
    assert list(storage.aside.iterdir()) == []
    assert (tmp_path / "files" / "object").exists()
