import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from fettle.cli.doctor import host
from fettle.rewards.sandbox import landlock, languages, level, walls_of
from fettle.settings import Settings


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder that only its owner can enter; no .env in the working directory."""
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "secret").write_text("s")
    (data / "secret").chmod(0o644)
    return data


class TestSecrets:
    async def test_a_folder_that_nobody_else_enters_shields_its_files(self, private: Path) -> None:
        assert (await host.secrets(Settings(data=private))).ok

    async def test_in_an_open_folder_each_readable_file_is_named_with_its_chmod(self, private: Path) -> None:
        private.chmod(0o755)
        found = await host.secrets(Settings(data=private))
        assert (found.ok, found.needed) == (False, False)
        assert f"chmod 600 {private / 'secret'}" in found.message
        (private / "secret").chmod(0o600)
        assert (await host.secrets(Settings(data=private))).ok

    async def test_a_readable_env_file_is_named(self, private: Path) -> None:
        Path(".env").write_text("FETTLE_SECRET=x")
        Path(".env").chmod(0o640)
        assert "chmod 600 .env" in (await host.secrets(Settings(_env_file=None, data=private))).message

    async def test_a_shared_database_needs_a_shared_secret(self, private: Path) -> None:
        shared = {"data": private, "database_url": "postgresql+asyncpg://h/d"}
        assert "FETTLE_SECRET is not set" in (await host.secrets(Settings(**shared))).message
        assert (await host.secrets(Settings(**shared, secret="s"))).ok


class TestCores:
    async def test_more_threads_than_cores_is_a_warning(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(host.os, "sched_getaffinity", lambda pid: range(8))
        assert (await host.cores(Settings(slots=4, threads=2))).message == "8 cores, 4 slots of 2 threads"
        assert (await host.cores(Settings(slots=4))).ok  # 8 ÷ 4 each
        found = await host.cores(Settings(slots=5, threads=2))
        assert not found.ok
        assert "lower FETTLE_SLOTS or FETTLE_THREADS" in found.message


class TestDevices:
    @pytest.fixture
    def two_gpus(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answer = SimpleNamespace(returncode=0, stdout="H100, 80 GiB, 0 MiB\nH100, 80 GiB, 0 MiB\n", stderr="")
        monkeypatch.setattr(host, "Path", lambda folder: SimpleNamespace(glob=lambda pattern: ["nvidia0", "nvidia1"]))
        monkeypatch.setattr(host.subprocess, "run", lambda *words, **options: answer)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    @pytest.mark.usefixtures("two_gpus")
    async def test_they_are_named(self) -> None:
        assert (await host.gpus(Settings())).message.count("H100, 80 GiB") == 2

    @pytest.mark.usefixtures("two_gpus")
    async def test_hidden_gpus_do_not_count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        assert "none is visible" in (await host.gpus(Settings())).message

    async def test_slots_that_share_a_gpu_are_a_warning(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
        assert (await host.slots(Settings(slots=2))).ok
        shared = await host.slots(Settings(slots=3))
        assert not shared.ok
        assert "they share 2" in shared.message


class TestIntegrations:
    async def test_a_package_that_is_not_there_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mlflow" else object())
        found = await host.integrations(Settings(integrations="tensorboard,mlflow"))
        assert found.message == "no package mlflow → pip install 'fettle[integrations]' for workers"

    async def test_wandb_wants_an_account_or_offline(self) -> None:
        assert "FETTLE_WANDB_MODE=offline" in (await host.integrations(Settings(integrations="wandb"))).message
        assert (await host.integrations(Settings(integrations="wandb", wandb_mode="offline"))).ok
        assert (await host.integrations(Settings(integrations="wandb", wandb_api_key="k" * 40))).ok

    async def test_none_is_in_order(self) -> None:
        assert (await host.integrations(Settings())).ok


class TestDisk:
    async def test_a_full_disk_is_what_must_be_mended(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3 * 2**30))
        found = await host.disk(Settings(data=tmp_path))
        assert (found.ok, found.needed) == (False, True)
        assert found.message.startswith(f"3 GiB free under {tmp_path} → ")


class TestSandbox:
    @pytest.fixture(autouse=True)
    def unproved(self) -> Iterator[None]:
        """As in a process that has not tried yet, and leaving it so."""
        for known in (walls_of, languages.node_and_libraries):
            known.cache_clear()
        yield
        for known in (walls_of, languages.node_and_libraries):
            known.cache_clear()

    async def test_what_was_proved_to_hold_is_named(self) -> None:
        found = await host.sandbox(Settings())
        assert found.ok
        assert found.message.startswith(f"{level()}; Python")

    async def test_without_node_it_says_what_javascript_needs(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        found = await host.sandbox(Settings())
        assert found.ok
        assert "Python only" in found.message and "Install Node.js 18" in found.message

    async def test_where_nothing_holds_user_code_it_warns_and_names_the_way_out(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(landlock, "abi", lambda: 0)
        found = await host.sandbox(Settings())
        assert (found.ok, found.needed) == (False, False)
        assert "Linux 5.13" in found.message and "fail on this worker" in found.message
