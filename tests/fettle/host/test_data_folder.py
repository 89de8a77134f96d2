"""Nobody but its owner looks into the data folder, whichever command makes it first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fettle.host import data_folder


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("command", [["migrate"], ["keys", "list"], ["doctor"]], ids=" ".join)
def test_each_command_makes_a_private_folder_and_closes_an_open_one(command: list[str], tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for name, made in (("fresh", False), ("open", True)):
        data = tmp_path / name
        if made:
            data.mkdir(mode=0o755)
        env = {**os.environ, "FETTLE_DATA": str(data), "FETTLE_REDIS_URL": "redis://127.0.0.1:1/0"}
        subprocess.run([sys.executable, "-m", "fettle", *command], env=env, umask=0o022, capture_output=True)
        assert mode(data) == 0o700


def test_a_folder_that_users_share_stays_as_it_is(tmp_path: Path) -> None:
    shared = tmp_path / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)
    data_folder.prepare(shared)
    assert mode(shared) == 0o777


def test_the_owners_own_rights_stay(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o775)
    assert mode(data_folder.prepare(data)) == 0o700
