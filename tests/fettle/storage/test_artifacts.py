import hashlib
import json
from pathlib import Path

import pytest

from fettle.storage import LocalStorage, Missing, artifacts
from fettle.storage.artifacts import Corrupt

FILES = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"\x00\x01" * 500, "tokenizer.json": b"[]"}


class Recording(LocalStorage):
    """Remembers the order in which keys became visible."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.placed: list[str] = []
        self.full_after = 1000

    def _place(self, aside: Path, target: Path) -> None:
        if len(self.placed) == self.full_after:
            raise OSError(28, "No space left on device")
        super()._place(aside, target)
        self.placed.append(target.relative_to(self.root).as_posix())


@pytest.fixture
def storage(tmp_path: Path) -> Recording:
    return Recording(str(tmp_path / "storage"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


class TestUpload:
    async def test_the_manifest_comes_last_with_every_files_sha256(self, storage: Recording, folder: Path) -> None:
        await artifacts.upload(storage, folder, "jobs/1/adapter")
        assert sorted(storage.placed[:-1]) == [f"jobs/1/adapter/{name}" for name in FILES]
        assert storage.placed[-1] == "jobs/1/adapter/manifest.json"
        manifest = json.loads(await storage.read("jobs/1/adapter/manifest.json"))
        assert manifest == {
            "files": {
                name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
                for name, content in FILES.items()
            }
        }

    @pytest.mark.parametrize("full_after", [0, 1, 2, 3])
    async def test_an_upload_that_breaks_off_is_no_artifact(
        self, storage: Recording, folder: Path, target: Path, full_after: int
    ) -> None:
        storage.full_after = full_after
        with pytest.raises(OSError, match="No space left"):
            await artifacts.upload(storage, folder, "jobs/1/adapter")
        with pytest.raises(Missing):
            await artifacts.manifest(storage, "jobs/1/adapter")
        with pytest.raises(Missing):
            await artifacts.download(storage, "jobs/1/adapter", target)
        assert not target.exists()


class TestNames:
    async def test_they_are_the_files_without_the_manifest(self, storage: Recording, folder: Path) -> None:
        await artifacts.upload(storage, folder, "a")
        assert list((await artifacts.manifest(storage, "a")).files) == list(FILES)


class TestDownload:
    @pytest.fixture(autouse=True)
    async def uploaded(self, storage: Recording, folder: Path) -> None:
        await artifacts.upload(storage, folder, "a")

    async def test_every_file_comes_back(self, storage: Recording, target: Path) -> None:
        await artifacts.download(storage, "a", target)
        assert {path.name: path.read_bytes() for path in target.iterdir()} == FILES

    async def test_only_the_named_files_come_back(self, storage: Recording, target: Path) -> None:
        await artifacts.download(storage, "a", target, only=["adapter_config.json"])
        assert [path.name for path in target.iterdir()] == ["adapter_config.json"]

    @pytest.mark.parametrize("content", [b"\x00\x01" * 499, b"", b"\x00\x02" + b"\x00\x01" * 499])
    async def test_a_changed_file_is_corrupt_and_nothing_is_left(
        self, storage: Recording, target: Path, content: bytes
    ) -> None:
        (storage.root / "a" / "adapter_model.safetensors").write_bytes(content)
        with pytest.raises(Corrupt, match=r"a/adapter_model\.safetensors"):
            await artifacts.download(storage, "a", target)
        assert not target.exists()

    async def test_a_lost_file_is_missing_and_nothing_is_left(self, storage: Recording, target: Path) -> None:
        await storage.delete("a/tokenizer.json")
        with pytest.raises(Missing, match=r"a/tokenizer\.json"):
            await artifacts.download(storage, "a", target)
        assert not target.exists()

    async def test_without_a_manifest_there_is_no_artifact(self, storage: Recording, target: Path) -> None:
        await storage.delete("a/manifest.json")
        with pytest.raises(Missing, match=r"a/manifest\.json"):
            await artifacts.download(storage, "a", target)
        assert not target.exists()

    @pytest.mark.parametrize("content", [b"", b'{"files": {"adapter_con', b"[]", b"{}", b'{"files": []}', b"\xff"])
    async def test_a_damaged_manifest_is_corrupt(self, storage: Recording, target: Path, content: bytes) -> None:
        (storage.root / "a" / "manifest.json").write_bytes(content)
        with pytest.raises(Corrupt, match=r"a/manifest\.json"):
            await artifacts.download(storage, "a", target)
        with pytest.raises(Corrupt, match=r"a/manifest\.json"):
            await artifacts.manifest(storage, "a")
        assert not target.exists()

    async def test_a_name_that_the_manifest_lacks_is_missing(self, storage: Recording, target: Path) -> None:
        with pytest.raises(Missing, match="optimizer"):
            await artifacts.download(storage, "a", target, only=["adapter_config.json", "optimizer.pt"])
        assert not target.exists()

    async def test_a_name_that_leads_out_of_the_folder_is_never_written(
        self, storage: Recording, target: Path, tmp_path: Path
    ) -> None:
        manifest = {"files": {"../evil": {"sha256": hashlib.sha256(b"x").hexdigest(), "bytes": 1}}}
        (storage.root / "a" / "manifest.json").write_text(json.dumps(manifest))
        (storage.root / "evil").write_bytes(b"x")
        with pytest.raises(Missing):
            await artifacts.download(storage, "a", target)
        assert not (tmp_path / "evil").exists()
