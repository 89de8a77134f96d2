"""The host burns down while a job trains: what `fettle backup` copied meanwhile serves and trains on."""

import asyncio
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import psutil
import pytest

from tests import databases
from tests.e2e.conftest import Server, free_port, wait_for
from tests.fettle.storage.conftest import CREDENTIALS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


Places = Callable[[], dict[str, str]]


@pytest.fixture(params=["SQLite and a folder", "PostgreSQL and S3"])
def new_places(request: pytest.FixtureRequest) -> Places:
    """Gives the settings of an empty database and an empty storage."""
    if request.param == "SQLite and a folder":
        return dict
    postgresql, endpoint = request.getfixturevalue("postgresql"), request.getfixturevalue("s3_endpoint")
    access = {"FETTLE_S3_ENDPOINT": endpoint, "FETTLE_S3_ACCESS_KEY_ID": "id", "FETTLE_S3_SECRET_ACCESS_KEY": "secret"}

    def make() -> dict[str, str]:
        bucket = f"backup-{uuid.uuid4().hex}"
        client = boto3.client("s3", endpoint_url=endpoint, **CREDENTIALS)
        client.create_bucket(Bucket=bucket)
        url = asyncio.run(databases.new_on(postgresql))
        return {"FETTLE_DATABASE_URL": url, "FETTLE_STORAGE_URL": f"s3://{bucket}", **access}

    return make


@pytest.fixture
def server(tmp_path: Path, new_places: Places) -> Iterator[Server]:
    """Not the one that other tests share: this one is destroyed."""
    running = Server(tmp_path / "fettle", free_port(), new_places())
    yield running
    running.stop()


def fettle(server: Server, *command: str) -> str:
    run = [sys.executable, "-m", "fettle", *command]
    done = subprocess.run(run, env=server.environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def destroy(server: Server, places: dict[str, str]) -> None:
    """Nothing is stopped in order, and nothing stays: what comes next has other places."""
    parts = psutil.Process(server.process.pid).children(recursive=True)
    server.process.kill()
    server.process.wait()
    wait_for(lambda: not any(part.is_running() for part in parts), 60, "every part to end with it")
    shutil.rmtree(server.data)
    server.beyond = places


def test_every_model_answers_and_the_running_job_resumes(server: Server, new_places: Places, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    done = server.wait_for_end(server.create(rows=64).id)
    running = server.create(rows=64, epochs=8).id
    server.wait_for_message(running, "Checkpoint created at step 8", 300)
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
    destroy(server, new_places())
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
