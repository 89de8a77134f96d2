"""`fettle jobs` as a person types it, against a running server."""

import os
import subprocess
import sys

import pytest

from tests.e2e.conftest import Server, wait_for

pytestmark = pytest.mark.slow


def fettle(server: Server, *words: str) -> tuple[int, str, str]:
    env = {**os.environ, "FETTLE_URL": server.url, "FETTLE_API_KEY": server.key}
    command = [sys.executable, "-m", "fettle", "jobs", *words]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    return ended.returncode, ended.stdout, ended.stderr


def test_a_job_is_paused_resumed_cancelled_and_listed(server: Server) -> None:
    job = server.create(rows=64, epochs=40)
    server.wait_for_message(job.id, "Base model starter loaded")

    code, said, _ = fettle(server, "pause", job.id)
    assert (code, said.split()[0]) == (0, "running")
    wait_for(lambda: server.client.fine_tuning.jobs.retrieve(job.id).status == "paused", 60, "the job to pause")
    assert fettle(server, "resume", job.id)[:2] == (0, "queued\n")
    code, said, _ = fettle(server, "cancel", job.id)
    assert (code, said) == (0, "cancelled\n")
    code, said, _ = fettle(server, "watch", job.id)
    assert (code, said.splitlines()[-1]) == (4, "cancelled")
    code, said, _ = fettle(server, "list", "--limit", "5")
    (line,) = [line for line in said.splitlines() if job.id in line]
    assert line.split()[1:4] == ["cancelled", "supervised", "starter"]
    code, _, err = fettle(server, "cancel", job.id)
    assert code == 1
    assert err.startswith("error ")
    assert "cancelled" in err
