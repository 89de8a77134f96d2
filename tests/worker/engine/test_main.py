import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from fettle.cli.up import free_port
from tests.worker.engine.conftest import until

ROOT = Path(__file__).parents[3]


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_the_http_side_needs_no_torch() -> None:
    """So /health answers while the decode thread still imports it."""
    code = "import sys, worker.engine.app; sys.exit(any(name in sys.modules for name in ('torch', 'transformers')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.slow
def test_the_engine_ends_with_0_and_says_nothing_but_its_own_lines_when_told_to_stop(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    env = os.environ | {"FETTLE_ENGINE_URL": url, "FETTLE_DATA": str(tmp_path), "FETTLE_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-m", "worker.engine"], cwd=ROOT, env=env, stderr=subprocess.PIPE)
    try:
        until(lambda: answers(url), seconds=60)
        body = {"model": "starter", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}
        response = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=120, trust_env=False)
        assert response.status_code == 200
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr
        assert {json.loads(line)["level"] for line in stderr.splitlines()} == {"info"}
    finally:
        process.kill()
        process.wait()
