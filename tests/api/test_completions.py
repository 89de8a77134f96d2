"""`POST /v1/completions`: the same road as a chat, to another route of the engine."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message

from api.generation import Relay
from fettle.inference.client import Answer
from tests.api.asgi import GONE, exchange
from tests.api.served import served
from tests.api.stub_engine import TEXT_PIECES, StubEngine
from tests.api.tenants import Tenant, refusal, running, settings_in
from tests.conftest import Api

PATH = "/v1/completions"


@pytest.fixture(scope="module")
def engine() -> Iterator[tuple[StubEngine, str]]:
    stub = StubEngine()
    with served(stub.app) as url:
        yield stub, url


@pytest.fixture(scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory, engine: tuple[StubEngine, str]) -> AsyncIterator[Api]:
    async with running(settings_in(tmp_path_factory.mktemp("completions"), engine_url=engine[1])) as application:
        yield application


async def asked(tenant: Tenant, **body: Any) -> Any:
    answer = await tenant.http.post(PATH, json={"model": "starter", "prompt": "2 + 2 =", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()["asked"]


async def test_the_request_reaches_the_engine_as_it_came(tenant: Tenant, engine: tuple[StubEngine, str]) -> None:
    body = {"prompt": [1, 2], "logprobs": 0, "user": "u", "best_of": 2, "an_extension": None}
    assert await asked(tenant, **body) == {"model": "starter", **body}
    assert engine[0].seen[-1][0] == PATH


@pytest.mark.parametrize("value", [("best_of", 1), ("echo", False), ("suffix", "")])
async def test_only_what_asks_for_nothing_is_left_out(tenant: Tenant, value: tuple[str, object]) -> None:
    assert "suffix" not in await asked(tenant, suffix=None)
    assert (await asked(tenant, **dict([value])))[value[0]] == value[1]


async def test_a_cold_tuned_model_is_loaded_and_streams(
    tenant: Tenant, engine: tuple[StubEngine, str], tmp_path: Path
) -> None:
    tuned = await tenant.publish((await tenant.job())["id"], tmp_path)
    engine[0].seen.clear()
    answer = await tenant.http.post(PATH, json={"model": tuned, "prompt": "2 + 2 =", "stream": True})
    assert answer.content == b"".join(TEXT_PIECES)
    assert [path for path, _ in engine[0].seen] == [PATH, "/v1/load_lora_adapter", PATH]


async def test_another_tenants_model_is_not_there(tenant: Tenant, other: Tenant, tmp_path: Path) -> None:
    theirs = await other.publish((await other.job())["id"], tmp_path)
    answer = await tenant.http.post(PATH, json={"model": theirs, "prompt": "x"})
    assert refusal(answer) == (404, "model_not_found", "model")


async def test_a_client_that_left_before_the_first_byte_ends_the_engines_answer() -> None:
    closed: list[bool] = []

    async def never_read() -> AsyncIterator[bytes]:
        yield b"4"

    async def close() -> None:
        closed.append(True)

    async def messages() -> AsyncIterator[Message]:
        yield GONE

    await exchange(Relay(Answer(200, {}, never_read(), close)), "POST", PATH, messages=messages())
    assert closed == [True]
