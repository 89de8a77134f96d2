"""What the stand-in says, and with `make test-vllm` a real vLLM: both keep to the contract, word for word."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from peft import LoraConfig, get_peft_model

from tests.worker.engine.conftest import starter
from tests.worker.vllm import contract, real
from tests.worker.vllm.conftest import VLLM_KEY, RecordedVllm

pytestmark = pytest.mark.slow  # loads transformers

NAME = "ft:starter:default::abc"


@pytest.fixture(params=["stand-in", *(["vLLM"] if real.PYTHON else [])])
async def vllm_itself(
    request: pytest.FixtureRequest, vllm: RecordedVllm, real_vllm: Callable[[], str]
) -> AsyncIterator[httpx.AsyncClient]:
    """Its own routes, without the agent. Afterwards no adapter is loaded."""
    url = vllm.url if request.param == "stand-in" else real_vllm()
    headers = {"Authorization": f"Bearer {VLLM_KEY}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False) as client:
        yield client
        for card in await cards(client):
            if card["parent"]:
                await client.post("/v1/unload_lora_adapter", json={"lora_name": card["id"]})


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Rank → an adapter's folder."""
    torch.manual_seed(1)
    made = {}
    for rank in (8, 32):
        made[rank] = tmp_path_factory.mktemp("contract") / f"rank-{rank}"
        shape = LoraConfig(r=rank, target_modules="all-linear", task_type="CAUSAL_LM")
        get_peft_model(starter(), shape).save_pretrained(str(made[rank]))
    return made


async def cards(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    answer = await client.get("/v1/models")
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def load(client: httpx.AsyncClient, folder: Path, name: str = NAME) -> httpx.Response:
    return await client.post("/v1/load_lora_adapter", json={"lora_name": name, "lora_path": str(folder)})


async def chat(client: httpx.AsyncClient, text: str = "2 + 2?", **more: Any) -> httpx.Response:
    body = {"model": "starter", "messages": [{"role": "user", "content": text}], **more}
    return await client.post("/v1/chat/completions", json=body)


def assert_refusal(answer: httpx.Response, which: str, **values: object) -> None:
    assert (answer.status_code, answer.json()) == contract.error(which, **values)


async def test_an_adapter_is_loaded_listed_and_unloaded(
    vllm_itself: httpx.AsyncClient, folders: dict[int, Path]
) -> None:
    loaded = await load(vllm_itself, folders[8])
    assert (loaded.status_code, loaded.text) == (200, contract.LOADED.format(name=NAME))
    base, adapter = await cards(vllm_itself)
    assert base.keys() == contract.base_card("starter").keys()
    assert (base["id"], base["parent"], base["max_model_len"]) == ("starter", None, contract.MAX_MODEL_LEN)
    ours = contract.adapter_card(NAME, str(folders[8]), "starter")
    assert {name: adapter[name] for name in ("id", "root", "parent", "max_model_len")} == {
        name: ours[name] for name in ("id", "root", "parent", "max_model_len")
    }
    unloaded = await vllm_itself.post("/v1/unload_lora_adapter", json={"lora_name": NAME})
    assert (unloaded.status_code, unloaded.text) == (200, contract.UNLOADED.format(name=NAME))
    assert len(await cards(vllm_itself)) == 1


@pytest.mark.parametrize("rank", [8, 32])
async def test_a_name_that_is_loaded_is_refused_from_any_folder(
    vllm_itself: httpx.AsyncClient, folders: dict[int, Path], rank: int
) -> None:
    await load(vllm_itself, folders[8])
    assert_refusal(await load(vllm_itself, folders[rank]), "already_loaded", name=NAME)


async def test_a_rank_above_the_limit_is_refused(vllm_itself: httpx.AsyncClient, folders: dict[int, Path]) -> None:
    assert_refusal(await load(vllm_itself, folders[32]), "rank_too_high", rank=32)
    assert len(await cards(vllm_itself)) == 1


async def test_a_folder_that_vllm_cannot_see_is_refused(vllm_itself: httpx.AsyncClient, tmp_path: Path) -> None:
    assert_refusal(await load(vllm_itself, tmp_path / "absent"), "no_folder", name=NAME)


async def test_unloading_what_is_not_loaded_is_refused(vllm_itself: httpx.AsyncClient) -> None:
    answer = await vllm_itself.post("/v1/unload_lora_adapter", json={"lora_name": NAME})
    assert_refusal(answer, "not_loaded", name=NAME)


async def test_an_unknown_model_is_refused(vllm_itself: httpx.AsyncClient) -> None:
    assert_refusal(await chat(vllm_itself, model=NAME), "unknown_model", name=NAME, aliases="starter")


async def test_a_prompt_that_is_too_long_is_refused(vllm_itself: httpx.AsyncClient) -> None:
    answer = await chat(vllm_itself, "x" * 30_000)
    assert_refusal(answer, "too_long", characters=30_000 + contract.TEMPLATE_CHARACTERS)


async def test_more_tokens_than_the_model_holds_are_refused(vllm_itself: httpx.AsyncClient) -> None:
    assert_refusal(await chat(vllm_itself, max_tokens=5000), "too_many_tokens", tokens=5000)


async def test_a_wrong_key_is_refused(vllm_itself: httpx.AsyncClient) -> None:
    answer = await vllm_itself.get("/v1/models", headers={"Authorization": "Bearer another"})
    assert (answer.status_code, answer.json()) == contract.WRONG_KEY
    assert (await vllm_itself.get("/health", headers={"Authorization": ""})).status_code == 200


async def test_an_unknown_route_is_refused(vllm_itself: httpx.AsyncClient) -> None:
    answer = await vllm_itself.post("/v1/nothing", json={})
    assert (answer.status_code, answer.json()) == contract.NO_ROUTE
