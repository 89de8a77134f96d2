"""Exports on the hub: the real client against a small hub of ours."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from fettle.errors import InvalidRequest
from tests.worker.exports import hub_server
from worker.exports import hub

PUSH = """
import sys
from pathlib import Path
from pydantic import SecretStr
from fettle.errors import Unavailable
from worker.exports import hub
try:
    print(hub.push(Path(sys.argv[1]), "ann/shop", SecretStr(sys.argv[2])))
except Unavailable as error:
    sys.exit(error.message)
"""


def push(folder: Path, url: str, token: str, home: Path) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the client reads its environment when it is imported. Without its second protocol."""
    env = {**os.environ, "HF_ENDPOINT": url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    return subprocess.run([sys.executable, "-c", PUSH, folder, token], env=env, capture_output=True, text=True)


def test_a_folder_is_pushed_whole_to_a_private_repository(tmp_path: Path) -> None:
    folder = tmp_path / "exported"
    folder.mkdir()
    written = {"model.safetensors": os.urandom(50_000), "config.json": b"{}", "README.md": b"---\nlicense: mit\n---\n"}
    for name, content in written.items():
        (folder / name).write_bytes(content)
    with hub_server.running() as server:
        done = push(folder, server.url, server.token, tmp_path)
        assert done.stdout.strip() == f"{server.url}/ann/shop/commit/{'a' * 40}", done.stderr
        assert (server.files, server.private) == ({"ann/shop": written}, {"ann/shop": True})
        refused = push(folder, server.url, "hf_reader", tmp_path)
        assert "The hub rejected 'ann/shop' (status 401). The export is in" in refused.stderr
        assert "hf_reader" not in refused.stderr


@pytest.mark.parametrize(
    ("repository", "token", "told"),
    [
        ("shop", SecretStr("hf_x"), "Write OWNER/NAME"),
        ("ann/shop/x", SecretStr("hf_x"), "Write OWNER/NAME"),
        ("ann/shop", None, "Set FETTLE_HF_TOKEN"),
    ],
)
def test_what_cannot_be_pushed_is_refused_before_the_work(repository: str, token: SecretStr | None, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        hub.check(repository, token)
