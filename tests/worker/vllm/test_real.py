"""`make test-vllm`: the agent as a process of its own, and a real vLLM behind it that serves the starter."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import torch
from openai import OpenAI
from peft import LoraConfig, PeftModel, get_peft_model
from pydantic import SecretStr

from fettle.cli.up import free_port
from fettle.datasets.formats.render import Renderer
from fettle.inference.client import Engine, Servable
from fettle.registry.catalog import STARTER
from fettle.settings import Settings
from fettle.storage import LocalStorage, artifacts
from tests.api.served import served
from tests.e2e.conftest import wait_for
from tests.worker.engine.conftest import QUESTION, greedy, random_adapter, starter, user
from tests.worker.vllm import real
from tests.worker.vllm.conftest import KEY, VLLM_KEY
from worker.vllm import adapters
from worker.vllm.app import create_app

pytestmark = pytest.mark.slow  # loads transformers

TOKENS = 12
NAMES = tuple(f"ft:starter:default::{number}" for number in range(real.MAX_CPU_LORAS + 2))
ONE, TWO = NAMES[:2]
TOLERANCE = 1e-4  # of a log-probability: float32, summed in another order
SCHEMA = {
    "type": "object",
    "properties": {"apples": {"type": "integer", "minimum": 0, "maximum": 99}, "sure": {"enum": ["yes", "no"]}},
    "required": ["apples", "sure"],
    "additionalProperties": False,
}
ENDLESS = {"max_tokens": 1900, "ignore_eos": True}  # a dozen seconds


@pytest.fixture(scope="session")
def renderer() -> Renderer:
    return Renderer(STARTER)


@pytest.fixture(scope="session")
def oracles(renderer: Renderer) -> dict[str, torch.nn.Module]:
    """Plain PEFT models, by name; the base as `starter`. No two of them answer alike."""
    made: dict[str, torch.nn.Module] = {"starter": starter()}
    texts = {expected(made["starter"], renderer)[0]}
    for seed in range(100):
        network = random_adapter(seed, scale=0.35)
        text, _ = expected(network, renderer)
        if text not in texts:
            made[NAMES[len(texts) - 1]] = network
            texts.add(text)
        if len(made) > len(NAMES):
            return made
    raise AssertionError("no seeds give adapters that all differ")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agent")


@pytest.fixture(scope="session")
async def settings(data: Path, real_vllm: Callable[[], str], oracles: dict[str, PeftModel]) -> Settings:
    """The agent's, with every adapter in storage under its name's number."""
    settings = Settings(
        _env_file=None,
        data=data,
        vllm_url=real_vllm(),
        vllm_key=SecretStr(VLLM_KEY),
        engine_url=f"http://127.0.0.1:{free_port()}",
        engine_key=SecretStr(KEY),
    )
    for name in NAMES:
        oracles[name].save_pretrained(str(data / "made" / prefix(name)))
        await artifacts.upload(LocalStorage(settings.storage), data / "made" / prefix(name), prefix(name))
    wide = get_peft_model(starter(), LoraConfig(r=32, target_modules="all-linear", task_type="CAUSAL_LM"))
    wide.save_pretrained(str(data / "made" / "wide"))
    await artifacts.upload(LocalStorage(settings.storage), data / "made" / "wide", "wide")
    return settings


def prefix(name: str) -> str:
    return f"adapter-{name.rpartition(':')[2]}"


@pytest.fixture(scope="session")
def agent(settings: Settings, data: Path) -> Iterator[httpx.Client]:
    """`fettle vllm-agent`."""
    given = {
        "FETTLE_DATA": str(data),
        "FETTLE_ENGINE_URL": settings.engine_url,
        "FETTLE_ENGINE_KEY": KEY,
        "FETTLE_VLLM_URL": settings.vllm_url,
        "FETTLE_VLLM_KEY": VLLM_KEY,
    }
    with (data / "agent.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "fettle", "vllm-agent"], env=os.environ | given, stdout=log, stderr=log
        )
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=settings.engine_url, headers=headers, timeout=60, trust_env=False) as client:
        wait_for(lambda: healthy(client), 60, "the agent to be there")
        yield client
    process.terminate()
    process.wait(20)


def healthy(client: httpx.Client) -> bool:
    try:
        return client.get("/health").is_success
    except httpx.TransportError:
        return False


@pytest.fixture
async def engine(settings: Settings, agent: httpx.Client) -> AsyncIterator[Engine]:
    """What the API asks with."""
    engine = Engine(settings)
    yield engine
    await engine.close()


@pytest.fixture(scope="session")
def itself(real_vllm: Callable[[], str]) -> Iterator[httpx.Client]:
    """vLLM, past the agent."""
    headers = {"Authorization": f"Bearer {VLLM_KEY}"}
    with httpx.Client(base_url=real_vllm(), headers=headers, timeout=60, trust_env=False) as client:
        yield client


def servable(name: str, stored: str | None = None) -> Servable:
    return Servable(name, "starter", None if name == "starter" else stored or prefix(name))


async def ask(engine: Engine, model: Servable, **more: Any) -> dict[str, Any]:
    """The one choice of an answer."""
    request = {"messages": user(QUESTION), "temperature": 0, "max_tokens": TOKENS} | more
    answer = await engine.generate(model, request)
    body = b"".join([chunk async for chunk in answer.body])
    assert answer.status == 200, body
    (choice,) = json.loads(body)["choices"]
    return dict(choice)


def expected(network: torch.nn.Module, renderer: Renderer) -> tuple[str, list[float]]:
    """The text that the network writes greedily, and the log-probability of each of its tokens."""
    prompt = renderer.prompt(user(QUESTION))
    completion = greedy(network, prompt, TOKENS)
    with torch.no_grad():
        logits_TV = network(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
    logprobs_TV = logits_TV.float().log_softmax(-1)
    shown = [token for token in completion if token != renderer.eos_id]
    return renderer.tokenizer.decode(shown), [logprobs_TV[place, token].item() for place, token in enumerate(shown)]


@pytest.mark.parametrize("name", ["starter", ONE, TWO])
async def test_text_and_logprobs_are_those_of_plain_peft(
    engine: Engine, oracles: dict[str, torch.nn.Module], renderer: Renderer, name: str
) -> None:
    choice = await ask(engine, servable(name), logprobs=True)
    text, logprobs = expected(oracles[name], renderer)
    assert choice["message"]["content"] == text
    said = [token["logprob"] for token in choice["logprobs"]["content"]][: len(logprobs)]
    print(f"largest difference: {max(abs(a - b) for a, b in zip(said, logprobs, strict=True)):.1e}")
    assert said == pytest.approx(logprobs, abs=TOLERANCE)


async def test_more_adapters_than_vllm_keeps_answer_by_turns(
    engine: Engine, oracles: dict[str, torch.nn.Module], renderer: Renderer
) -> None:
    """Those that vLLM dropped from memory it reads again from the agent's folder."""
    wanted = {name: expected(oracles[name], renderer)[0] for name in NAMES}
    for _ in range(2):
        for name in NAMES:
            assert (await ask(engine, servable(name)))["message"]["content"] == wanted[name]
    answers = await asyncio.gather(*(ask(engine, servable(name)) for name in NAMES))  # more than fit in one batch
    assert [answer["message"]["content"] for answer in answers] == list(wanted.values())


async def test_the_agents_own_eviction_unloads_from_vllm(
    settings: Settings, itself: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapters, "MAX_ADAPTERS", 1)
    second = settings.model_copy(update={"data": tmp_path, "storage_url": settings.storage})
    with served(create_app(second)) as url:
        engine = Engine(second.model_copy(update={"engine_url": url}))
        for short, full in (("left", ONE), ("stays", TWO)):
            await ask(engine, servable(short, prefix(full)))
        await engine.close()
        loaded = loaded_in(itself)
        assert "left" not in loaded
        assert Path(loaded["stays"]).parent == tmp_path / "vllm-adapters"
        assert [folder.name for folder in (tmp_path / "vllm-adapters").iterdir()] == [Path(loaded["stays"]).name]
    unload(itself, "stays")


def loaded_in(itself: httpx.Client) -> dict[str, str]:
    """Adapter → its folder."""
    return {card["id"]: card["root"] for card in itself.get("/v1/models").json()["data"] if card["parent"]}


def load(server: httpx.Client, name: str, path: str) -> None:
    body = {"lora_name": name, "lora_path": path, "base_model_name": "starter"}
    answer = server.post("/v1/load_lora_adapter", json=body)
    assert answer.is_success, answer.text


def unload(server: httpx.Client, name: str) -> None:
    assert server.post("/v1/unload_lora_adapter", json={"lora_name": name}).is_success


async def test_a_model_that_is_replaced_answers_anew(
    engine: Engine, oracles: dict[str, torch.nn.Module], renderer: Renderer
) -> None:
    for name in (ONE, TWO, ONE):
        choice = await ask(engine, servable("again", prefix(name)))
        assert choice["message"]["content"] == expected(oracles[name], renderer)[0]
        await engine.forget("again")


async def test_what_vllm_has_from_another_folder_is_replaced(
    engine: Engine, itself: httpx.Client, agent: httpx.Client, data: Path, oracles: dict[str, Any], renderer: Renderer
) -> None:
    load(itself, "older", str(data / "made" / prefix(ONE)))
    load(agent, "older", prefix(TWO))
    choice = await ask(engine, servable("older", prefix(TWO)))
    assert choice["message"]["content"] == expected(oracles[TWO], renderer)[0]
    await engine.forget("older")
    assert "older" not in loaded_in(itself)


async def test_a_vllm_that_forgot_an_adapter_gets_it_again(engine: Engine, itself: httpx.Client) -> None:
    before = await ask(engine, servable(ONE))
    unload(itself, ONE)
    assert (await ask(engine, servable(ONE)))["message"] == before["message"]


async def test_a_new_agent_keeps_what_vllm_has(engine: Engine, settings: Settings, itself: httpx.Client) -> None:
    await ask(engine, servable(ONE))
    before = loaded_in(itself)
    with served(create_app(settings)) as url:
        second = Engine(settings.model_copy(update={"engine_url": url}))
        await ask(second, servable(ONE))
        await second.close()
    assert loaded_in(itself) == before
    assert Path(before[ONE]).is_dir()


def test_a_stream_says_the_same_as_a_whole_answer(settings: Settings, agent: httpx.Client) -> None:
    client = OpenAI(base_url=f"{settings.engine_url}/v1", api_key=KEY)
    asked: dict[str, Any] = {"model": "starter", "messages": user(QUESTION), "temperature": 0, "max_tokens": TOKENS}
    whole = client.chat.completions.create(**asked)
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    client.close()
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole.choices[0].message.content
    assert len(chunks) > 3
    assert chunks[-1].usage and whole.usage
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens


@pytest.mark.parametrize("name", ["starter", ONE])
async def test_a_json_schema_binds_the_answer(engine: Engine, name: str) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "apples", "schema": SCHEMA}}
    choice = await ask(engine, servable(name), max_tokens=60, response_format=form)
    assert choice["finish_reason"] == "stop"
    jsonschema.validate(json.loads(choice["message"]["content"]), SCHEMA)


def busy(itself: httpx.Client) -> bool:
    """Whether vLLM is generating; the gauge is renewed at every step."""
    lines = itself.get("/metrics").text.splitlines()
    (line,) = [line for line in lines if line.startswith("vllm:num_requests_running")]
    return float(line.split()[-1]) > 0


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_ends_vllms_work(engine: Engine, itself: httpx.Client, stream: bool) -> None:
    request = {"messages": user(QUESTION), "stream": stream, **ENDLESS}
    asking = asyncio.create_task(drain(engine, request))
    await asyncio.to_thread(wait_for, lambda: busy(itself), 10, "vLLM to generate")
    left = time.monotonic()
    asking.cancel()
    await asyncio.to_thread(wait_for, lambda: not busy(itself), 10, "vLLM to stop")
    assert time.monotonic() - left < 4, "the whole answer takes a dozen seconds"


async def drain(engine: Engine, request: dict[str, Any]) -> None:
    answer = await engine.generate(servable("starter"), request)
    try:
        async for _ in answer.body:
            pass
    finally:
        await answer.close()


def test_a_rank_that_vllm_was_not_started_for_is_named(agent: httpx.Client, itself: httpx.Client) -> None:
    body = {"lora_name": "wide", "lora_path": "wide", "base_model_name": "starter"}
    answer = agent.post("/v1/load_lora_adapter", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "adapter_rejected")
    message = "vLLM could not load the adapter: LoRA rank 32 is greater than max_lora_rank 16."
    assert answer.json()["error"]["message"] == message
    assert "wide" not in loaded_in(itself)


@pytest.mark.parametrize("text", ["x" * 30_000, "1 " * 1500])
def test_a_prompt_that_is_too_long_has_openais_code(agent: httpx.Client, text: str) -> None:
    answer = agent.post("/v1/chat/completions", json={"model": "starter", "messages": user(text)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")
