"""What must not leak: credentials into processes that run models, prompts and keys into logs."""

from pathlib import Path

import pytest

from tests.e2e.conftest import Server, wait_for

pytestmark = pytest.mark.slow

CANARY = "canary 4711 sings"


def test_forkserver_and_training_child_inherit_no_secret(server: Server) -> None:
    assert b"FETTLE_ENGINE_KEY" in environment(server.part("worker").pid), "the worker itself is started with secrets"
    job_id = server.create(rows=400, epochs=5).id
    wait_for(lambda: server.training_child() is not None, 30, "a training child")
    child = server.training_child()
    assert child is not None
    below = [process for process in server.part("worker").children(recursive=True) if process.name() != "cat"]
    assert child.pid in [process.pid for process in below] and len(below) >= 2
    for process in below:
        assert b"FETTLE_" not in environment(process.pid), process.cmdline()
    server.client.fine_tuning.jobs.cancel(job_id)


def environment(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def test_logs_hold_no_prompt_and_no_key(server: Server) -> None:
    rows = "\n".join(f'{{"prompt": "{CANARY} {n}", "completion": "{CANARY}"}}' for n in range(12)).encode()
    file = server.client.files.create(file=("canary.jsonl", rows), purpose="fine-tune")
    bad = server.client.files.create(
        file=("bad.jsonl", rows + b'\n{"prompt": "' + CANARY.encode()), purpose="fine-tune"
    )
    assert bad.status == "error" and CANARY not in str(bad.model_dump())
    server.wait_for_end(server.client.fine_tuning.jobs.create(model="starter", training_file=file.id).id)
    question = [{"role": "user", "content": CANARY}]
    server.client.chat.completions.create(model="starter", messages=question, max_tokens=4)  # type: ignore[arg-type]
    for log in (server.data / "logs").glob("*.log"):
        text = log.read_text()
        assert CANARY not in text, log
        assert server.key not in text, log
