"""Against a small server that plays vLLM's routes, its refusals included."""

import asyncio
from contextlib import suppress

import httpx
import orjson
import pytest
import structlog

from fettle.cli.up import free_port
from fettle.db import Database
from fettle.errors import InvalidRequest, NotFound, Unavailable
from fettle.inference import client as serving
from fettle.inference.client import Engine, Servable
from fettle.registry.catalog import BUILT_IN
from fettle.settings import Settings
from fettle.tenancy import projects
from models import Checkpoint, Project, TunedModel
from tests.fettle import given
from tests.fettle.inference.conftest import BASE, BROKEN, QUESTION, TUNED, Vllm, whole


class TestChat:
    async def test_a_base_model_answers_under_its_own_name_and_the_engines_key(
        self, engine: Engine, vllm: Vllm
    ) -> None:
        answer = await engine.generate(BASE, {**QUESTION, "temperature": 0.5})
        assert answer.status == 200
        assert (await whole(answer))["asked"] == {**QUESTION, "model": "starter", "temperature": 0.5}
        assert answer.headers["content-type"] == "application/json"
        assert vllm.keys == {"Bearer sesame"}

    async def test_the_request_id_goes_along_to_the_engines_log(self, engine: Engine, vllm: Vllm) -> None:
        with structlog.contextvars.bound_contextvars(request_id="req_1"):
            await whole(await engine.generate(TUNED, QUESTION))
        assert vllm.request_ids[-3:] == ["req_1"] * 3  # asked, loaded, asked again

    async def test_a_cold_adapter_is_loaded_and_asked_again(self, engine: Engine, vllm: Vllm) -> None:
        answer = await engine.generate(TUNED, QUESTION)
        assert (answer.status, (await whole(answer))["asked"]["model"]) == (200, TUNED.name)
        assert vllm.routes() == ["chat/completions", "load_lora_adapter", "chat/completions"]
        assert vllm.seen[1][1] == {
            "lora_name": TUNED.name,
            "lora_path": "jobs/1/1/adapter",
            "base_model_name": "starter",
        }

    async def test_a_warm_adapter_answers_at_once(self, engine: Engine, vllm: Vllm) -> None:
        vllm.loaded.add(TUNED.name)
        assert (await engine.generate(TUNED, QUESTION)).status == 200
        assert vllm.routes() == ["chat/completions"]

    async def test_an_engine_that_forgot_it_loads_it_again(self, engine: Engine, vllm: Vllm) -> None:
        for _ in range(2):
            assert (await engine.generate(TUNED, QUESTION)).status == 200
            vllm.loaded.clear()
        assert vllm.routes().count("load_lora_adapter") == 2

    async def test_many_who_ask_a_cold_adapter_at_once_are_all_answered(self, engine: Engine, vllm: Vllm) -> None:
        answers = await asyncio.gather(*(engine.generate(TUNED, QUESTION) for _ in range(10)))
        assert [answer.status for answer in answers] == [200] * 10
        assert vllm.routes().count("load_lora_adapter") > 1  # else the refusal was never met

    async def test_an_adapter_that_the_engine_rejects_is_no_matter_of_trying_again(
        self, engine: Engine, vllm: Vllm
    ) -> None:
        with pytest.raises(InvalidRequest, match=r"could not load 'ft:starter:default::bad': LoRA rank 999") as refused:
            await engine.generate(BROKEN, QUESTION)
        assert (refused.value.code, refused.value.param, refused.value.retry) == ("adapter_rejected", "model", False)

    async def test_a_load_that_fails_on_the_way_is_worth_another_try(self, engine: Engine, vllm: Vllm) -> None:
        with pytest.raises(Unavailable, match="status 502") as refused:
            await engine.generate(Servable("ft:starter:default::bad", "starter", "proxy"), QUESTION)
        assert refused.value.retry

    async def test_a_base_model_that_the_engine_lacks_is_the_operators_to_mend(
        self, engine: Engine, vllm: Vllm
    ) -> None:
        with pytest.raises(Unavailable, match=r"'acme/big'.*404.*FETTLE_CATALOG") as refused:
            await engine.generate(Servable("acme/big", "acme/big"), QUESTION)
        assert not refused.value.retry
        assert vllm.routes() == ["chat/completions"]

    async def test_a_stream_arrives_piece_by_piece(self, engine: Engine, vllm: Vllm) -> None:
        answer = await engine.generate(BASE, {**QUESTION, "stream": True})
        pieces = aiter(answer.body)
        async with asyncio.timeout(60):
            assert await anext(pieces) == b"data: first\n\n"
            vllm.go_on.set()
            assert [piece async for piece in pieces] == [b"data: last\n\n"]
        assert answer.headers["content-type"].startswith("text/event-stream")


class TestAway:
    async def test_it_is_said_where_the_engine_should_be(self) -> None:
        url = f"http://127.0.0.1:{free_port()}"
        engine = Engine(Settings(engine_url=url))
        with pytest.raises(Unavailable, match=rf"{url} is not responding .*FETTLE_ENGINE_URL") as refused:
            await engine.generate(BASE, QUESTION)
        assert (refused.value.status, refused.value.retry) == (503, True)
        await engine.close()

    @pytest.mark.parametrize(
        ("kind", "sent", "told"),
        [
            ("text/event-stream", b"data: 4\n\n", True),
            ("text/event-stream", b"data: 4", False),
            ("application/json", b"{\n\n", False),
        ],
    )
    async def test_a_stream_that_breaks_off_between_two_events_ends_with_one_that_says_so(
        self, kind: str, sent: bytes, told: bool
    ) -> None:
        async def half_an_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"
            writer.write(head.encode() + b"%x\r\n%s\r\n" % (len(sent), sent))
            await writer.drain()
            writer.close()

        listener = await asyncio.start_server(half_an_answer, "127.0.0.1", 0)
        engine = Engine(Settings(engine_url=f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"))
        body = (await engine.generate(BASE, QUESTION)).body
        assert await anext(body) == sent
        if told:
            (last,) = [piece async for piece in body]
            error = orjson.loads(last.removeprefix(b"data: "))["error"]
            assert (error["code"], "stopped before" in error["message"]) == ("service_unavailable", True)
        else:
            with pytest.raises(httpx.RemoteProtocolError):
                await anext(body)
        await engine.close()
        listener.close()

    @pytest.mark.parametrize("dies_at", ["chat", "load", "load's answer"])
    async def test_an_engine_that_dies_before_it_answers_is_away(self, dies_at: str) -> None:
        async def half_an_engine(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while head := await reader.readuntil(b"\r\n\r\n"):
                    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                    await reader.readexactly(length)
                    if b"/v1/chat" in head and dies_at != "chat":
                        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                        continue
                    if dies_at == "load's answer":
                        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nSucc")
                    break
            writer.close()

        listener = await asyncio.start_server(half_an_engine, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        engine = Engine(Settings(engine_url=f"http://127.0.0.1:{port}"))
        with pytest.raises(Unavailable, match="is not responding"):
            await engine.generate(TUNED, QUESTION)
        await engine.close()
        listener.close()


class TestForget:
    async def test_a_deleted_adapter_is_unloaded(self, engine: Engine, vllm: Vllm) -> None:
        vllm.loaded.add(TUNED.name)
        await engine.forget(TUNED.name)
        assert vllm.loaded == set()

    async def test_neither_a_cold_adapter_nor_an_engine_that_is_away_is_an_error(
        self, engine: Engine, vllm: Vllm
    ) -> None:
        await engine.forget(TUNED.name)
        away = Engine(Settings(engine_url=f"http://127.0.0.1:{free_port()}"))
        await away.forget(TUNED.name)
        await away.close()


class TestHealthy:
    async def test_it_is_what_the_engine_says(self, engine: Engine, vllm: Vllm) -> None:
        assert await engine.healthy()
        vllm.healthy = False
        assert not await engine.healthy()

    async def test_an_engine_that_is_away_is_not(self) -> None:
        away = Engine(Settings(engine_url=f"http://127.0.0.1:{free_port()}"))
        assert not await away.healthy()
        await away.close()


class TestFind:
    async def test_each_name_leads_to_its_own_weights(self, db: Database, project: Project) -> None:
        job = await given.job(db, project)
        tuned, checkpoint = "ft:starter:default:sums:abc", "ft:starter:default:sums:abc:ckpt-step-5"
        owner = {"project_id": project.id, "job_id": job.id}
        async with db.transaction() as session:
            session.add(TunedModel(name=tuned, base_model="starter", prefix="p/adapter", **owner))
            session.add(Checkpoint(id="ftckpt_1", name=checkpoint, step=5, metrics={}, prefix="p/step-5", **owner))
            stranger = await projects.ensure(session, "stranger")
        async with db.snapshot() as session:
            found = [await serving.find(session, project.id, name, BUILT_IN) for name in ("starter", tuned, checkpoint)]
            for owner_id, name in [(stranger.id, tuned), (stranger.id, checkpoint), (project.id, "gpt-4o")]:
                with pytest.raises(NotFound, match=name) as refused:
                    await serving.find(session, owner_id, name, BUILT_IN)
                assert (refused.value.code, refused.value.param) == ("model_not_found", "model")
        assert found == [
            Servable("starter", "starter", None, project.id),
            Servable(tuned, "starter", "p/adapter", project.id),
            Servable(checkpoint, "starter", "p/step-5", project.id),
        ]
