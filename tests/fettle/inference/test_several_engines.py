"""Requests go to the engine that can answer them, and to another one where it does not."""

from collections.abc import AsyncIterator, Iterator

import pytest

from fettle.cli.up import free_port
from fettle.errors import InvalidRequest, Unavailable
from fettle.inference.client import Engine, Servable
from fettle.inference.routing import Route
from fettle.settings import Settings
from tests.api.served import served
from tests.fettle.inference.conftest import BROKEN, QUESTION, TUNED, Vllm, whole


class TestSeveralEngines:
    """Two with the same base; the address in the settings is a third, where nobody listens."""

    @pytest.fixture
    def second(self) -> Iterator[tuple[Vllm, str]]:
        other = Vllm()
        with served(other.app) as url:
            yield other, url

    @pytest.fixture
    async def several(
        self, server: tuple[Vllm, str], vllm: Vllm, second: tuple[Vllm, str]
    ) -> AsyncIterator[tuple[Engine, list[Vllm]]]:
        """The client, and the engines in the order in which the tuned model asks them."""
        by_url = {server[1]: vllm, second[1]: second[0]}
        nobody = f"http://127.0.0.1:{free_port()}"
        client = Engine(Settings(engine_url=nobody), routes=[Route(url, ("starter",)) for url in by_url])
        yield client, [by_url[url] for url in await client.urls(TUNED) if url in by_url]
        await client.close()

    async def test_the_tuned_model_has_one_of_them(self, several: tuple[Engine, list[Vllm]]) -> None:
        client, (first, other) = several
        for _ in range(3):
            assert (await whole(await client.generate(TUNED, QUESTION)))["asked"]["model"] == TUNED.name
        assert first.routes().count("load_lora_adapter") == 1
        assert other.seen == []
        assert client.mine.total() == 0

    async def test_one_that_is_gone_is_replaced_before_the_first_byte_and_asked_last_for_a_while(
        self, several: tuple[Engine, list[Vllm]], second: tuple[Vllm, str]
    ) -> None:
        client, _ = several
        gone = f"http://127.0.0.1:{free_port()}"
        client.routes = [Route(gone, ("starter",), adapters=(TUNED.name,)), Route(second[1], ("starter",))]
        assert (await client.urls(TUNED))[0] == gone
        assert (await client.generate(TUNED, QUESTION)).status == 200
        assert (await client.urls(TUNED))[0] == second[1]
        assert client.mine[gone] == 0

    async def test_one_that_is_full_passes_the_request_on_and_when_all_are_full_says_so(
        self, several: tuple[Engine, list[Vllm]]
    ) -> None:
        client, (first, other) = several
        first.full = True
        assert (await whole(await client.generate(TUNED, QUESTION)))["asked"]["model"] == TUNED.name
        assert TUNED.name in other.loaded
        other.full = True
        answer = await client.generate(TUNED, QUESTION)
        assert (answer.status, answer.headers["retry-after"]) == (429, "5")
        await answer.close()
        first.full = False
        assert client.mine.total() == 0

    async def test_the_answer_of_a_full_one_is_let_go_when_the_next_one_refuses(
        self, several: tuple[Engine, list[Vllm]]
    ) -> None:
        client, (first, _) = several
        first.full = True
        with pytest.raises(InvalidRequest, match="LoRA rank 999"):
            await client.generate(Servable(TUNED.name, "starter", BROKEN.prefix), QUESTION)
        first.full = False
        assert client.mine.total() == 0

    async def test_what_has_begun_is_not_asked_again_elsewhere(self, several: tuple[Engine, list[Vllm]]) -> None:
        client, (first, other) = several
        first.breaks = True
        answer = await client.generate(TUNED, {**QUESTION, "stream": True})
        said = b"".join([piece async for piece in answer.body])
        assert said.startswith(b"data: first\n\n") and b"stopped before its answer was complete" in said
        assert other.seen == []
        first.breaks = False
        assert client.mine.total() == 0

    async def test_an_adapter_that_one_rejects_is_not_tried_on_the_others(
        self, several: tuple[Engine, list[Vllm]]
    ) -> None:
        client, engines = several
        with pytest.raises(InvalidRequest, match="LoRA rank 999"):
            await client.generate(BROKEN, QUESTION)
        assert sum(engine.routes().count("load_lora_adapter") for engine in engines) == 1

    async def test_a_deleted_model_is_unloaded_everywhere(self, several: tuple[Engine, list[Vllm]]) -> None:
        client, engines = several
        for engine in engines:
            engine.loaded.add(TUNED.name)
        await client.forget(TUNED.name)
        assert [engine.loaded for engine in engines] == [set(), set()]
        assert await client.healthy()

    async def test_a_base_that_nobody_announced_is_asked_at_the_address_of_the_settings(
        self, several: tuple[Engine, list[Vllm]]
    ) -> None:
        client, engines = several
        assert await client.urls(Servable("phi", "phi")) == [client.url]
        with pytest.raises(Unavailable, match=client.url):
            await client.generate(Servable("phi", "phi"), QUESTION)
        assert [engine.seen for engine in engines] == [[], []]
