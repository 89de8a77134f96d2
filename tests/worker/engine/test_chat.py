import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from fettle.datasets.formats.render import Renderer
from tests.worker.engine.conftest import KEY, QUESTION, QUESTIONS, Engine, greedy, until, user
from worker.engine import decode_thread

pytestmark = pytest.mark.slow  # loads transformers

Oracles = dict[str | None, Any]


@pytest.fixture
def client(engine: Engine) -> OpenAI:
    return OpenAI(base_url=f"{engine.url}/v1", api_key=KEY, max_retries=0)


def expected(oracles: Oracles, renderer: Renderer, name: str | None, tokens: int, text: str = QUESTION) -> str:
    return renderer.decode(greedy(oracles[name], renderer.prompt(user(text)), tokens))


def test_the_sdk_reads_a_whole_answer(client: OpenAI, oracles: Oracles, renderer: Renderer) -> None:
    prompt = renderer.prompt(user(QUESTION))
    ids = greedy(oracles[None], prompt, 24)
    answer = client.chat.completions.create(
        model="starter", messages=[{"role": "user", "content": QUESTION}], temperature=0, max_completion_tokens=24
    )
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    assert answer.model == "starter"
    (choice,) = answer.choices
    assert (choice.index, choice.message.role, choice.message.content) == (0, "assistant", renderer.decode(ids))
    assert choice.finish_reason == ("stop" if ids[-1] == renderer.eos_id else "length")
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (len(prompt), len(ids))
    assert answer.usage.total_tokens == len(prompt) + len(ids)


def test_the_sdk_reads_a_stream(client: OpenAI, oracles: Oracles, renderer: Renderer) -> None:
    stream = client.chat.completions.create(
        model="starter",
        messages=[{"role": "user", "content": QUESTION}],
        temperature=0,
        max_tokens=24,
        stream=True,
        stream_options={"include_usage": True},
    )
    first, *middle, last, totals = list(stream)
    assert first.choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in middle) == expected(oracles, renderer, None, 24)
    assert {chunk.choices[0].finish_reason for chunk in [first, *middle]} == {None}
    assert last.choices[0].finish_reason in ("stop", "length")
    assert totals.choices == []
    assert totals.usage
    assert totals.usage.prompt_tokens == len(renderer.prompt(user(QUESTION)))
    assert len({chunk.id for chunk in [first, *middle, last, totals]}) == 1
    assert {chunk.object for chunk in [first, *middle, last, totals]} == {"chat.completion.chunk"}


def test_the_sdk_raises_what_the_engine_refuses(client: OpenAI) -> None:
    with pytest.raises(NotFoundError) as missing:
        client.chat.completions.create(model="nobody", messages=[{"role": "user", "content": "Hi"}])
    assert missing.value.code == "model_not_found"
    with pytest.raises(BadRequestError) as unknown:
        client.chat.completions.create(model="starter", messages=[{"role": "user", "content": "Hi"}], audio={})
    assert (unknown.value.code, unknown.value.param) == ("unknown_parameter", "audio")


@pytest.mark.parametrize("n", [1, 3])
def test_a_stream_says_what_the_whole_answer_says(engine: Engine, n: int) -> None:
    fields = {"n": n, "seed": 5, "temperature": 1.5, "top_p": 0.95}
    whole = engine.chat(**fields).json()
    chunks = engine.chunks(**fields, stream_options={"include_usage": True})
    texts, ends = [""] * n, [None] * n
    for chunk in chunks[:-1]:
        assert chunk["usage"] is None
        (choice,) = chunk["choices"]
        texts[choice["index"]] += choice["delta"].get("content", "")
        ends[choice["index"]] = choice["finish_reason"] or ends[choice["index"]]
    assert [chunk["choices"][0]["delta"]["role"] for chunk in chunks[:n]] == ["assistant"] * n
    assert texts == [choice["message"]["content"] for choice in whole["choices"]]
    assert ends == [choice["finish_reason"] for choice in whole["choices"]]
    assert chunks[-1]["usage"] == whole["usage"]


def test_without_stream_options_no_chunk_speaks_of_usage(engine: Engine) -> None:
    assert not any("usage" in chunk for chunk in engine.chunks())


def test_the_prompt_counts_once_and_the_rows_together(engine: Engine, renderer: Renderer) -> None:
    assert engine.load("endless").status_code == 200
    usage = engine.chat("endless", n=4, max_tokens=5).json()["usage"]
    prompt = len(renderer.prompt(user(QUESTION)))
    assert usage.pop("prompt_tokens_details") == {"cached_tokens": 0}
    assert usage == {"prompt_tokens": prompt, "completion_tokens": 20, "total_tokens": prompt + 20}


def test_a_stop_string_never_shows_its_beginning_in_a_stream(engine: Engine) -> None:
    engine.load("endless")
    (whole,) = engine.texts(model="endless", max_tokens=30)
    stop = whole[8:14]
    assert whole.index(stop) > 0
    chunks = engine.chunks(model="endless", max_tokens=30, stop=[stop, "never said"])
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == whole[: whole.index(stop)]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert engine.texts(model="endless", max_tokens=30, stop=stop) == [whole[: whole.index(stop)]]


def test_interleaved_requests_to_two_adapters_and_the_base_are_never_mixed_up(
    engine: Engine, oracles: Oracles, renderer: Renderer
) -> None:
    for name in ("one", "two"):
        assert engine.load(name).status_code == 200
    wanted = [(name, text) for _ in range(4) for text in QUESTIONS[:2] for name in ("one", None, "two")]
    right = {(name, text): expected(oracles, renderer, name, 16, text) for name, text in set(wanted)}
    assert len({right[name, QUESTION] for name in ("one", None, "two")}) == 3

    def said(which: tuple[str | None, str]) -> str:
        (text,) = engine.texts(model=which[0] or "starter", text=which[1], max_tokens=16)
        return text

    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(said, wanted))
    assert answers == [right[which] for which in wanted]


def test_adapters_that_come_and_go_meanwhile_disturb_nobody(
    engine: Engine, oracles: Oracles, renderer: Renderer
) -> None:
    engine.load("one")
    right = expected(oracles, renderer, "one", 200)
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(engine.texts, model="one", max_tokens=200)
        for _ in range(5):
            assert engine.load("two").status_code == 200
            assert engine.unload("two").status_code == 200
        assert answer.result() == [right]


def test_the_default_is_512_tokens_or_what_the_length_leaves(engine: Engine, renderer: Renderer) -> None:
    engine.load("endless")
    long = "cups " * 1700
    room = 2048 - len(renderer.prompt(user(long)))
    assert 0 < room < 512
    usage = engine.chat("endless", long, max_tokens=None).json()["usage"]
    assert usage["completion_tokens"] <= room
    assert engine.chat("endless", long, max_tokens=room + 1).json()["error"]["code"] == "context_length_exceeded"


def test_too_long_a_conversation_is_refused_with_its_numbers(engine: Engine, renderer: Renderer) -> None:
    prompt = len(renderer.prompt(user(QUESTION)))
    response = engine.chat(max_tokens=2048)
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", "messages")
    assert f"is 2048 tokens, but the messages have {prompt} and the completion may have up to 2048" in error["message"]


REFUSED: dict[str, tuple[dict[str, Any], str, str | None, str]] = {
    "too hot": ({"temperature": 2.5}, "invalid_value", "temperature", "2.5"),
    "negative": ({"temperature": -1}, "invalid_value", "temperature", "-1"),
    "nothing to draw from": ({"top_p": 0}, "invalid_value", "top_p", "0"),
    "no rows": ({"n": 0}, "invalid_value", "n", "0"),
    "too many rows": ({"n": 17}, "invalid_value", "n", "17"),
    "no tokens": ({"max_tokens": 0}, "invalid_value", "max_tokens", "0"),
    "a string for a number": ({"max_tokens": "5"}, "invalid_value", "max_tokens", "'5'"),
    "both names": ({"max_completion_tokens": 3}, "invalid_value", "max_tokens", "24"),
    "five stops": ({"stop": list("abcde")}, "invalid_value", "stop", "['a', 'b', 'c', 'd', 'e']"),
    "an empty stop": ({"stop": ["a", ""]}, "invalid_value", "stop[1]", "''"),
    "a large seed": ({"seed": 2**63}, "invalid_value", "seed", str(2**63)),
    "usage without a stream": ({"stream_options": {}}, "invalid_value", "stream_options", "stream"),
    "no tools": ({"tools": []}, "invalid_value", "tools", "at least 1"),
    "no messages": ({"messages": []}, "invalid_value", "messages", "[]"),
    "an unknown role": ({"messages": [{"role": "bot", "content": ""}]}, "invalid_value", "messages[0].role", "'bot'"),
    "no call": ({"messages": [{"role": "tool", "content": ""}]}, "invalid_value", "messages[0]", "tool_call_id"),
    "null": ({"messages": [{"role": "user", "content": None}]}, "invalid_value", "messages[0]", "Use a string"),
    "a refusal": (
        {"messages": [{"role": "assistant", "content": "", "refusal": "No."}]},
        "unknown_parameter",
        "messages[0].refusal",
        "Unknown parameter",
    ),
    "no content": ({"messages": [{"role": "user"}]}, "missing_required_parameter", "messages[0].content", "Missing"),
    "parts": ({"messages": [{"role": "user", "content": [1]}]}, "invalid_value", "messages[0].content", "[1]"),
    "a name": (
        {"messages": [{"role": "user", "content": "", "name": "Ann"}]},
        "unknown_parameter",
        "messages[0].name",
        "Unknown parameter",
    ),
    "half a surrogate pair": (
        {"messages": [{"role": "user", "content": "\ud83d"}]},
        "invalid_value",
        "messages[0].content",
        "surrogate",
    ),
    "the renderer's mark": (
        {"messages": [{"role": "user", "content": "\0"}]},
        "invalid_value",
        "messages[0].content",
        "U+0000",
    ),
}  # fmt: skip


def test_an_answers_message_may_come_back_as_it_is(engine: Engine) -> None:
    def asked(**message: Any) -> Any:
        messages = [*user("Hi"), {"role": "assistant", "content": "Yes.", **message}, *user("More")]
        body = {"model": "starter", "messages": messages, "max_tokens": 4, "temperature": 0}
        response = engine.client.post("/v1/chat/completions", json=body)
        assert response.status_code == 200, response.text
        return response.json()["choices"]

    nothing = {"refusal": None, "annotations": [], "audio": None, "function_call": None, "tool_calls": [], "name": None}
    assert asked(**nothing, reasoning_content=None, tool_call_id=None) == asked()


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_engine_cannot_honour_is_refused_by_name(case: str, engine: Engine) -> None:
    fields, code, param, named = REFUSED[case]
    body = json.dumps({"model": "starter", "messages": user("Hi"), "max_tokens": 24} | fields)
    response = engine.client.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)
    assert named in error["message"]


@pytest.mark.parametrize("body", ["{", "[]", '{"model": NaN}', "\ufeff{}", ""])
def test_a_body_that_is_no_json_object_is_refused_in_the_same_shape(body: str, engine: Engine) -> None:
    response = engine.client.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_null_stands_for_the_default(engine: Engine) -> None:
    response = engine.chat(temperature=0, top_p=None, n=None, seed=None, stop=None, stream=None, stream_options=None)
    assert response.json()["choices"] == engine.chat().json()["choices"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_route_is_answered_in_the_same_shape(method: str, engine: Engine) -> None:
    response = engine.client.request(method, "/v1/nothing")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "unknown_url")


@pytest.mark.parametrize("key", [None, "wrong", "schlüssel"])
def test_without_the_key_only_health_answers(key: str | None, engine: Engine) -> None:
    headers = [(b"authorization", f"Bearer {key}".encode())] if key else []
    with httpx.Client(base_url=engine.url, trust_env=False, headers=headers) as stranger:
        assert stranger.get("/health").json() == {"status": "ok"}
        for response in (stranger.get("/v1/models"), stranger.post("/v1/chat/completions", content="{")):
            assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")


def test_health_says_when_the_decode_thread_is_dead(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_thread.DecodeThread, "alive", False)
    for response in (engine.client.get("/health"), engine.chat()):
        assert (response.status_code, response.json()["error"]["code"]) == (503, "service_unavailable")


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_stops_its_decoding(stream: bool, engine: Engine) -> None:
    engine.load("endless")
    body = {"model": "endless", "messages": user(QUESTION), "temperature": 0, "max_tokens": 1900, "stream": stream}
    decoding = engine.pool.thread
    before = decoding.steps
    with httpx.Client(base_url=engine.url, headers=engine.client.headers, trust_env=False) as leaving:
        if stream:
            with leaving.stream("POST", "/v1/chat/completions", json=body) as response:
                next(response.iter_lines())
        else:
            with pytest.raises(httpx.ReadTimeout):
                leaving.post("/v1/chat/completions", json=body, timeout=0.3)
    until(lambda: not decoding.schedulers)
    assert 0 < decoding.steps - before < 200
    assert not any(not request.over.is_set() for request in decoding.live)


def test_a_full_queue_says_when_to_come_back(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_thread, "MAX_WAITING", 0)
    response = engine.chat()
    assert response.status_code == 429
    assert int(response.headers["retry-after"]) > 0
    assert response.headers["x-should-retry"] == "true"
    assert response.json()["error"]["code"] == "engine_overloaded"


def test_a_batch_that_breaks_is_told_to_who_was_in_it_and_the_next_is_sound(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from worker.engine.decoding import Batch

    def broken(batch: Batch) -> Any:
        raise RuntimeError("CUDA out of memory")

    engine.load("one")
    (right,) = engine.texts(model="one")
    monkeypatch.setattr(Batch, "step", broken)
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda name: engine.chat(name), ["one", "starter", "one", "starter"]))
    assert [answer.status_code for answer in answers] == [500] * 4
    assert answers[0].json()["error"]["code"] == "generation_failed"
    assert "CUDA" not in answers[0].text
    monkeypatch.undo()
    assert engine.texts(model="one") == [right]
    assert engine.client.get("/health").json() == {"status": "ok"}


def test_a_batch_that_breaks_in_the_middle_of_a_stream_ends_it_with_an_error(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, client: OpenAI
) -> None:
    from openai import APIError

    from worker.engine.decoding import Batch

    real = Batch.step

    def breaks_later(batch: Batch) -> Any:
        if batch.rows[0].tokens == 3:
            raise RuntimeError("CUDA out of memory")
        return real(batch)

    monkeypatch.setattr(Batch, "step", breaks_later)
    with pytest.raises(APIError, match="could not complete"):
        list(client.chat.completions.create(model="starter", messages=[{"role": "user", "content": "Hi"}], stream=True))
