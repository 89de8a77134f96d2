"""LangChain, instructor and LiteLLM, unmodified, against a real engine with the bundled starter behind the API.

They share .venv/clients, which `make` fills, with the version of `openai` that suits all three.
"""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from api.app import create_app
from tests.api.served import served
from tests.api.tenants import running, settings_in
from worker.engine.app import create_app as create_engine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CLIENTS = Path(sys.prefix) / "clients"  # the Makefile puts it there
DRIVE = Path(__file__).parent / "drive.py"
ORDERS = {
    "langchain": ("tool", "tool_streamed", "any_tool", "structured", "structured_by_tool", "responses_tool"),
    "instructor": ("tool", "tool_streamed", "structured", "from_provider"),
    "litellm": ("tool", "tool_streamed", "structured"),
}


@pytest.fixture(scope="module")
async def key_and_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, str]]:
    if not CLIENTS.is_dir():
        pytest.skip(f"there is no {CLIENTS}: `make test` puts it there")
    folder = tmp_path_factory.mktemp("clients")
    with served(create_engine(settings_in(folder, threads=1))) as engine_url:
        settings = settings_in(folder, engine_url=engine_url)
        async with running(settings) as api, await api.client() as http:
            key = http.headers["authorization"].removeprefix("Bearer ")
            with served(create_app(settings)) as url:
                yield key, f"{url}/v1"


def drive(library: str, key: str, url: str) -> dict[str, Any]:
    env = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    env |= {"PYTHONPATH": str(CLIENTS), "OPENAI_API_KEY": key, "OPENAI_BASE_URL": url}
    env["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it asks the internet for prices
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", str(DRIVE), library], env=env, capture_output=True, text=True, timeout=240
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    came_to: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return came_to


@pytest.mark.parametrize("library", list(ORDERS))
def test_it_chats_streams_calls_tools_and_reads_structured_answers(library: str, key_and_url: tuple[str, str]) -> None:
    key, url = key_and_url
    came_to = drive(library, key, url)
    question = "Amy has 3 cups. Amy buys 4 more. How many cups does Amy have?"
    with OpenAI(base_url=url, api_key=key) as client:
        chat = client.chat.completions.create(
            model="starter", messages=[{"role": "user", "content": question}], temperature=0
        )
        raw = client.completions.create(model="starter", prompt=["Amy has", "Gus has"], max_tokens=4, temperature=0)
    assert came_to["chat"] == chat.choices[0].message.content != ""
    assert came_to["tokens"] > 0
    for order in ORDERS[library]:
        assert came_to[order]["part"] in ("cup", "pen"), order
        assert type(came_to[order]["count"]) is int, order
    if "stream" in came_to:
        assert (came_to["stream"], came_to["stream_tokens"]) == (came_to["chat"], came_to["tokens"])
    if "completions" in came_to:
        assert came_to["completions"] == [choice.text for choice in raw.choices]
    if library == "langchain":
        assert came_to["responses"] == came_to["chat"]
        assert came_to["after_tool"] == "str"
