"""The host burns down while a job trains: what `fettle backup` copied meanwhile serves and trains on."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import QUICK, Server, free_port, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Not the one that other tests share: this one is destroyed."""
    running = Server(tmp_path / "fettle", free_port())
    yield running
    running.stop()


def fettle(server: Server, *command: str) -> str:
    env = {**os.environ, **QUICK, "FETTLE_DATA": str(server.data)}
    done = subprocess.run([sys.executable, "-m", "fettle", *command], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def destroy(server: Server) -> None:
    """Nothing is stopped in order, and nothing stays."""
    parts = psutil.Process(server.process.pid).children(recursive=True)
    server.process.kill()
    server.process.wait()
    wait_for(lambda: not any(part.is_running() for part in parts), 30, "every part to end with it")
    shutil.rmtree(server.data)


def test_every_model_answers_and_the_running_job_resumes(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    done = server.wait_for_end(server.create(rows=64).id)
    running = server.create(rows=64, epochs=8).id
    server.wait_for_message(running, "Checkpoint created at step 8", 120)
    stop = threading.Event()

    def keep_uploading() -> None:
        while not stop.is_set():
            server.client.files.delete(server.upload(rows=64))

    uploading = threading.Thread(target=keep_uploading)
    uploading.start()
    assert "everything that the database names is in it" in fettle(server, "backup", str(folder))
    stop.set()
    uploading.join()
    names = {model.id for model in server.client.models.list()}
    destroy(server)
    assert "Jobs that were running continue" in fettle(server, "restore", str(folder))
    server.start()
    restored = {model.id for model in server.client.models.list()}
    assert done.fine_tuned_model in restored <= names
    for model in restored:
        assert server.client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hi"}]).id
    job = server.wait_for_end(running)
    assert job.status == "succeeded", server.messages(running)
    assert any(message.startswith("Resuming after step") for message in server.messages(running))
    columns = server.http.get(f"/v1/fine_tuning/jobs/{running}/metrics").json()["columns"]
    assert columns["step"] == list(range(1, 65))
