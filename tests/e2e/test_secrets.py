"""What must not leak: credentials into processes that run models, prompts and keys into logs."""

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from openai import APIStatusError, OpenAI

from tests.e2e.conftest import Server, wait_for

pytestmark = pytest.mark.slow


def test_forkserver_and_training_child_inherit_no_secret(server: Server) -> None:
    worker = server.part("worker").pid
    if os.geteuid() == 0:
        assert b"FETTLE_ENGINE_KEY" in environment(worker), "the worker itself is started with secrets"
    else:
        with pytest.raises(PermissionError):
            environment(worker)  # it hides from its own user, whose other processes are the children
    job_id = server.create(rows=400, epochs=5).id
    wait_for(lambda: server.training_child() is not None, 90, "a training child")
    child = server.training_child()
    assert child is not None
    below = [process for process in server.part("worker").children(recursive=True) if process.name() != "cat"]
    assert child.pid in [process.pid for process in below] and len(below) >= 2
    for process in below:
        assert b"FETTLE_" not in environment(process.pid), process.cmdline()
    server.client.fine_tuning.jobs.cancel(job_id)


def environment(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


@dataclass
class Canaries:
    """A word for each thing that must not get about, and the secret of a key that the API has made."""

    row: str = "rowcanary4711"
    prompt: str = "promptcanary4712"
    metadata: str = "metadatacanary4713"
    filename: str = "filenamecanary4714"
    key_name: str = "namecanary4715"
    key: str = ""
    job_id: str = ""


@pytest.fixture(scope="module")
def sung(server: Server) -> Canaries:
    """A whole walk through a real server: uploads good and bad, a job, chat plain and streamed, a key, refusals."""
    canary = Canaries()
    made = server.http.post("/v1/api_keys", json={"name": canary.key_name, "scopes": ["all"], "expires_in": 3600})
    canary.key = made.json()["value"]
    rows = "\n".join(f'{{"prompt": "{canary.row} {n}", "completion": "{canary.row}"}}' for n in range(12)).encode()
    with OpenAI(api_key=canary.key, base_url=f"{server.url}/v1", max_retries=0) as client:
        file = client.files.create(file=(f"{canary.filename}.jsonl", rows), purpose="fine-tune")
        bad = client.files.create(
            file=("bad.jsonl", rows + b'\n{"prompt": "' + canary.row.encode()), purpose="fine-tune"
        )
        assert bad.status == "error"
        job = client.fine_tuning.jobs.create(
            model="starter", training_file=file.id, validation_file=file.id, metadata={"team": canary.metadata}
        )
        canary.job_id = job.id
        ended = server.wait_for_end(job.id)
        assert ended.status == "succeeded"
        for model in ("starter", str(ended.fine_tuned_model)):
            asked: Any = {"model": model, "messages": [{"role": "user", "content": canary.prompt}], "max_tokens": 4}
            client.chat.completions.create(**asked)
            list(client.chat.completions.create(**asked, stream=True))
        for refused in ({"max_tokens": "many"}, {"messages": canary.prompt}, {"unheard_of": canary.prompt}):
            with pytest.raises(APIStatusError):
                client.post("/chat/completions", cast_to=object, body={**asked, **refused})
    httpx.get(f"{server.url}/v1/models", headers={"Authorization": f"Bearer {canary.key[:-1]}"})
    return canary


def secrets_of(canary: Canaries) -> list[str]:
    return [canary.row, canary.prompt, canary.metadata, canary.filename, canary.key_name, canary.key]


class TestCanaries:
    def test_no_log_holds_any(self, server: Server, sung: Canaries) -> None:
        logs = list((server.data / "logs").glob("*.log"))
        assert {log.stem for log in logs} >= {"api", "engine", "worker"}
        for log in logs:
            text = log.read_text()
            assert [word for word in [*secrets_of(sung), server.key] if word in text] == [], log

    def test_no_event_holds_any(self, server: Server, sung: Canaries) -> None:
        events = server.http.get(f"/v1/fine_tuning/jobs/{sung.job_id}/events", params={"limit": 100}).text
        assert "successfully completed" in events
        assert [word for word in secrets_of(sung) if word in events] == []

    def test_storage_alone_holds_rows_and_no_file_a_prompt_or_a_key(self, server: Server, sung: Canaries) -> None:
        found = {word: set[str]() for word in [*secrets_of(sung), server.key]}
        for path in server.data.rglob("*"):
            if path.is_file() and not path.name.startswith("fettle.db"):
                content = path.read_bytes()
                place = path.relative_to(server.data).parts[0]
                for word in found:
                    if word.encode() in content:
                        found[word].add(place)
        assert found.pop(sung.row) == {"storage"}
        assert found.pop(server.key) == {"admin.key"}
        assert found == {word: set() for word in secrets_of(sung) if word != sung.row}

    def test_the_database_holds_what_was_given_to_it_where_it_belongs(self, server: Server, sung: Canaries) -> None:
        found = {word: set[str]() for word in [*secrets_of(sung), server.key]}
        with closing(sqlite3.connect(server.data / "fettle.db")) as database:
            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table in tables:
                rows = database.execute(f"SELECT * FROM {table}")  # noqa: S608 — names from the schema
                columns = [column[0] for column in rows.description]
                for row in rows:
                    for column, value in zip(columns, row, strict=True):
                        for word in found:
                            if word in str(value):
                                found[word].add(f"{table}.{column}")
        assert found == {
            # a few validation rows, beside what both models say to them
            sung.row: {"jobs.evaluation", "eval_items.item", "eval_items.sample"},
            sung.prompt: set(),
            sung.metadata: {"jobs.labels"},
            sung.filename: {"files.filename"},
            sung.key_name: {"api_keys.name", "audit_logs.actor_name"},
            sung.key: set(),
            server.key: set(),
        }

    def test_no_process_shows_any_on_its_command_line_nor_a_password(self, server: Server, sung: Canaries) -> None:
        passwords = {
            line.partition("=")[2] for line in (server.data / "up.env").read_text().splitlines() if "_KEY=" in line
        }
        redis = (server.data / "redis.conf").read_text().split("requirepass ")[1].split()[0]
        ours = psutil.Process(server.process.pid)
        for process in [ours, *ours.children(recursive=True)]:
            line = " ".join(process.cmdline())
            hidden = [*secrets_of(sung), server.key, redis, *passwords]
            assert [word for word in hidden if word in line] == [], line

    def test_what_is_private_is_its_owners_alone(self, server: Server) -> None:
        for name in ("admin.key", "secret", "up.env", "redis.conf"):
            assert (server.data / name).stat().st_mode & 0o777 == 0o600, name


def test_the_first_key_may_do_everything(server: Server) -> None:
    (first,) = [key for key in server.http.get("/v1/api_keys").json()["data"] if key["name"] == "admin"]
    assert first["scopes"] == ["all", "admin"]
    made = server.http.post("/v1/projects", json={"name": "made-by-the-first-key"})
    assert made.status_code == 200
    assert server.http.post("/v1/api_keys", json={"name": "x", "project": made.json()["id"]}).status_code == 200
