"""Random adapters on the starter, stored as a worker stores them; a real engine on loopback; plain PEFT as oracle."""

import asyncio
import json
import shutil
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import torch
import uvicorn

from fettle.datasets.formats.render import Renderer
from fettle.registry.catalog import STARTER
from fettle.settings import Settings
from fettle.storage import LocalStorage, artifacts
from worker.engine.app import create_app
from worker.engine.model_pool import Pool, read_base
from worker.engine.requests import Base, Request, Sampling

if TYPE_CHECKING:  # the quick tests do without them
    from peft import PeftModel
    from transformers import PreTrainedModel

    from worker.engine.networks import Network

QUESTIONS = (
    "Tom has 12 apples. Tom buys 30 more. How many apples does Tom have?",
    "There are 90 cups.",
    "Zoe buys 4 bags of 7 eggs, loses 3 eggs and gives 2 more eggs to Max. How many eggs are left at the end?",
)
QUESTION = QUESTIONS[0]
NAMES = ("one", "two", "endless")
KEY = "the-engine-key"
ENDLESS = 250  # tokens; a second or two

torch.set_num_threads(1)


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def starter() -> "PreTrainedModel":
    from transformers import AutoModelForCausalLM

    network: PreTrainedModel = AutoModelForCausalLM.from_pretrained(STARTER, dtype=torch.float32)
    return network.eval()


def random_adapter(seed: int, scale: float, modules: str | list[str] = "all-linear") -> "PeftModel":
    """An adapter whose B is not zero, so that it speaks unlike the base."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    network = get_peft_model(starter(), LoraConfig(r=8, lora_alpha=16, target_modules=modules, task_type="CAUSAL_LM"))
    for name, parameter in network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=scale)
    return network.eval()


def greedy(network: torch.nn.Module, prompt: list[int], tokens: int) -> list[int]:
    """What transformers' own `generate` adds to the prompt, the end token included."""
    ids = torch.tensor([prompt])
    output = network.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=tokens
    )
    return output[0, len(prompt) :].tolist()


def adapter_unlike(others: Sequence[torch.nn.Module], renderer: Renderer, seed: int, **shape: Any) -> "PeftModel":
    """One that answers every question otherwise than `others` do."""
    prompts = [renderer.prompt(user(question)) for question in QUESTIONS]
    heard = [[greedy(network, prompt, 12) for prompt in prompts] for network in others]
    for attempt in range(20):
        network = random_adapter(seed + attempt, scale=0.2 + 0.05 * attempt, **shape)  # louder until it is heard
        said = [greedy(network, prompt, 12) for prompt in prompts]
        if all(mine != theirs for other in heard for mine, theirs in zip(said, other, strict=True)):
            return network
    raise AssertionError("no seed gives an adapter that differs")


def endless_adapter(renderer: Renderer) -> "PeftModel":
    """One that babbles: it neither ends its answer for long nor just repeats itself."""
    prompt = renderer.prompt(user(QUESTION))
    for seed in range(100, 140):
        network = random_adapter(seed, scale=0.7)
        varied = len(set(greedy(network, prompt, 40))) >= 20
        if varied and len(greedy(network, prompt, ENDLESS)) == ENDLESS:
            return network
    raise AssertionError("no seed gives an adapter that babbles on")


@pytest.fixture(scope="session")
def renderer() -> Renderer:
    return Renderer(STARTER)


@pytest.fixture(scope="session")
def base() -> Base:
    return read_base("starter", STARTER, 2048)


@pytest.fixture(scope="session")
def oracles(renderer: Renderer) -> dict[str | None, torch.nn.Module]:
    """Plain PEFT models by adapter name; None is the base."""
    base = starter()
    one = adapter_unlike([base], renderer, seed=1)
    two = adapter_unlike([base, one], renderer, seed=31, modules=["q_proj", "up_proj", "down_proj"])
    return {None: base, "one": one, "two": two, "endless": endless_adapter(renderer)}


@pytest.fixture(scope="session")
def folders(oracles: dict[str | None, "PeftModel"], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {name: tmp_path_factory.mktemp("adapters") / name for name in NAMES}
    for name, folder in made.items():
        oracles[name].save_pretrained(str(folder))
    return made


@pytest.fixture(scope="session")
async def store(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> LocalStorage:
    """Adapters under `adapters/<name>`, and more that something is wrong with."""
    storage = LocalStorage(str(tmp_path_factory.mktemp("storage")))
    for name, folder in folders.items():
        await artifacts.upload(storage, folder, f"adapters/{name}")
    await artifacts.upload(storage, folders["one"], "adapters/damaged")
    weights = storage.root / "adapters/damaged/adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    dora = tmp_path_factory.mktemp("dora") / "dora"
    shutil.copytree(folders["one"], dora)
    config = json.loads((dora / "adapter_config.json").read_text())
    (dora / "adapter_config.json").write_text(json.dumps(config | {"use_dora": True}))
    await artifacts.upload(storage, dora, "adapters/dora")
    return storage


@pytest.fixture(scope="session")
def network(base: Base, folders: dict[str, Path]) -> "Network":
    """The engine's own network, with the adapters attached under their names."""
    from worker.engine.networks import Network

    network = Network(base)
    for name, folder in folders.items():
        network.attach(name, network.read(folder))
    return network


@pytest.fixture
def ask(base: Base) -> Callable[..., Request]:
    """Makes requests; greedy unless told otherwise."""

    def make(text: str = QUESTION, slot: str | None = None, **sampling: Any) -> Request:
        given = {"n": 1, "temperature": 0.0, "top_p": 1.0, "seed": None, "max_tokens": 24, "stops": ()} | sampling
        ends = given.pop("ends", base.ends)
        return Request(replace(base, ends=ends), slot, base.renderer.prompt(user(text)), Sampling(**given))

    return make


@dataclass
class Engine:
    """An engine that runs in a thread of this process, so that a test can look inside."""

    url: str
    pool: Pool
    client: httpx.Client

    def load(self, name: str, path: str | None = None, base: str = "starter") -> httpx.Response:
        body = {"lora_name": name, "lora_path": path or f"adapters/{name}", "base_model_name": base}
        return self.client.post("/v1/load_lora_adapter", json=body)

    def unload(self, name: str) -> httpx.Response:
        return self.client.post("/v1/unload_lora_adapter", json={"lora_name": name})

    def chat(self, model: str = "starter", text: str = QUESTION, **fields: Any) -> httpx.Response:
        body = {"model": model, "messages": user(text), "temperature": 0, "max_tokens": 24} | fields
        return self.client.post("/v1/chat/completions", json=body)

    def texts(self, **fields: Any) -> list[str]:
        response = self.chat(**fields)
        assert response.status_code == 200, response.text
        return [choice["message"]["content"] for choice in response.json()["choices"]]

    def chunks(self, **fields: Any) -> list[dict[str, Any]]:
        """The bodies of a streamed answer, which must end with [DONE]."""
        response = self.chat(stream=True, **fields)
        assert response.status_code == 200, response.text
        assert response.headers["content-type"].startswith("text/event-stream")
        events = response.text.split("\n\n")
        assert events[-2:] == ["data: [DONE]", ""]
        return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]

    def forget_all(self) -> None:
        for name in list(self.pool.adapters):
            self.unload(name)


def running_engine(settings: Settings) -> Iterator[Engine]:
    app = create_app(settings)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=5))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    key = settings.engine_key.get_secret_value() if settings.engine_key else ""
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60, trust_env=False) as client:
        until(lambda: server.started)
        yield Engine(url, app.state.pool, client)
    server.should_exit = True
    thread.join(60)
    assert not thread.is_alive()


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not so within {seconds} s"
        time.sleep(0.01)


@pytest.fixture(scope="session")
async def shared_engine(store: LocalStorage, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    settings = Settings(
        _env_file=None, data=tmp_path_factory.mktemp("data"), storage_url=str(store.root), engine_key=KEY, threads=1
    )
    for engine in running_engine(settings):
        yield engine


@pytest.fixture
def engine(shared_engine: Engine) -> Iterator[Engine]:
    """No adapter is loaded before or after."""
    yield shared_engine
    shared_engine.forget_all()
