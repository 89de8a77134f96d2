"""What is said of chats and responses, with the real engine and the bundled starter behind the API."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from api.app import create_app
from tests.api.served import served
from tests.api.tenants import running, settings_in
from tests.conformance.conftest import ALIAS
from tests.conformance.objects import COMPLETION
from tests.conformance.page import served as routes_served
from tests.conformance.surface import CHAT, listed
from worker.engine.app import create_app as create_engine

pytestmark = pytest.mark.slow

ASK: Any = [{"role": "user", "content": "Tom has 12 apples. Tom buys 30 more. How many apples does Tom have?"}]
GREEDY: Any = {"temperature": 0, "max_completion_tokens": 24}
REFUSED = [
    name
    for theirs, ours in routes_served()
    if theirs.route == CHAT
    for name, status in listed(ours, theirs)
    if status == "refused"
]


@pytest.fixture(scope="module")
async def key_and_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, str]]:
    folder = tmp_path_factory.mktemp("real-engine")
    with served(create_engine(settings_in(folder, threads=1))) as engine_url:
        settings = settings_in(folder, engine_url=engine_url, model_aliases={ALIAS: "starter"})
        async with running(settings) as api, await api.client() as http:
            key = http.headers["authorization"].removeprefix("Bearer ")
            with served(create_app(settings)) as url:
                yield key, url


@pytest.fixture(scope="module")
def client(key_and_url: tuple[str, str]) -> Iterator[OpenAI]:
    key, url = key_and_url
    with OpenAI(base_url=f"{url}/v1", api_key=key) as made:
        yield made


def test_reasoning_effort_is_taken_and_changes_nothing(client: OpenAI) -> None:
    plain = client.chat.completions.create(model="starter", messages=ASK, **GREEDY)
    asked = client.chat.completions.create(model="starter", messages=ASK, reasoning_effort="high", **GREEDY)
    assert asked.choices[0].message.content == plain.choices[0].message.content
    options: Any = {"include_obfuscation": False}
    assert list(
        client.chat.completions.create(model="starter", messages=ASK, stream=True, stream_options=options, **GREEDY)
    )


async def test_a_completion_has_the_fields_that_the_page_says(client: OpenAI) -> None:
    raw = await asyncio.to_thread(
        lambda: client.chat.completions.with_raw_response.create(model="starter", messages=ASK, **GREEDY)
    )
    body = raw.http_response.json()
    assert set(body) == set(COMPLETION)
    ChatCompletion.model_validate(body, strict=False)
    assert set(body["usage"]) >= {"prompt_tokens", "completion_tokens", "total_tokens"}


def test_a_raw_completion_has_the_fields_that_the_page_says_and_streams_the_same(client: OpenAI) -> None:
    asked: Any = {"model": "starter", "prompt": "<|im_start|>user\n2 + 2 =<|im_end|>\n<|im_start|>assistant\n"}
    asked |= {"temperature": 0, "max_tokens": 8}
    whole = client.completions.create(**asked)
    assert set(whole.to_dict()) == set(COMPLETION)
    Completion.model_validate(whole.to_dict(), strict=False)
    streamed = [chunk.choices[0].text for chunk in client.completions.create(**asked, stream=True)]
    assert "".join(streamed) == whole.choices[0].text != ""


def test_the_chunks_of_a_stream_add_up_to_the_answer(client: OpenAI) -> None:
    whole = client.chat.completions.create(model="starter", messages=ASK, **GREEDY)
    chunks = list(
        client.chat.completions.create(
            model="starter", messages=ASK, stream=True, stream_options={"include_usage": True}, **GREEDY
        )
    )
    for chunk in chunks:
        assert set(chunk.to_dict()) == set(COMPLETION)
        ChatCompletionChunk.model_validate(chunk.to_dict(), strict=False)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


def test_an_alias_is_answered_by_the_local_model_under_its_own_name(client: OpenAI) -> None:
    answers = [client.chat.completions.create(model=name, messages=ASK, **GREEDY) for name in (ALIAS, "starter")]
    assert [answer.model for answer in answers] == ["starter", "starter"]
    assert answers[0].choices[0].message.content == answers[1].choices[0].message.content


def test_a_response_says_what_the_chat_says(client: OpenAI) -> None:
    chat = client.chat.completions.create(model="starter", messages=ASK, **GREEDY)
    response = client.responses.create(model="starter", input=ASK, temperature=0, max_output_tokens=24)
    assert response.output_text == chat.choices[0].message.content != ""
    assert chat.usage and response.usage
    assert response.usage.total_tokens == chat.usage.total_tokens


def test_the_deltas_of_a_streamed_response_add_up_to_it(client: OpenAI) -> None:
    with client.responses.stream(model="starter", input=ASK, temperature=0, max_output_tokens=24) as stream:
        deltas = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert deltas == final.output_text != ""
    assert final.usage


def test_a_response_names_the_logprobs_of_its_text_whole_and_streamed(client: OpenAI) -> None:
    chat = client.chat.completions.create(model="starter", messages=ASK, logprobs=True, top_logprobs=2, **GREEDY)
    asked: Any = {"model": "starter", "input": ASK, "temperature": 0, "max_output_tokens": 24, "top_logprobs": 2}
    asked |= {"include": ["message.output_text.logprobs"]}
    whole: Any = client.responses.create(**asked)
    details = whole.output[0].content[0].logprobs
    assert chat.choices[0].logprobs and chat.choices[0].logprobs.content
    theirs = chat.choices[0].logprobs.content
    assert [one.to_dict() for one in details] == [one.to_dict() for one in theirs] != []
    assert all(len(one.top_logprobs) == 2 for one in details)
    with client.responses.stream(**asked) as stream:
        tokens = [one.token for e in stream if e.type == "response.output_text.delta" for one in e.logprobs]
        final: Any = stream.get_final_response()
    assert tokens == [one.token for one in final.output[0].content[0].logprobs] == [one.token for one in details]
    again = client.responses.create(**{**asked, "input": [*ASK, *whole.output, *ASK]})  # as it was answered
    assert again.output_text


@pytest.mark.parametrize("name", REFUSED)
def test_the_engine_refuses_by_name_what_the_page_calls_refused(client: OpenAI, name: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="starter", messages=ASK, extra_body={name: [7]})
    assert (caught.value.code, caught.value.param) == ("unknown_parameter", name)


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"messages": []}, "invalid_value", "messages"),
        ({"temperature": 3}, "invalid_value", "temperature"),
        ({"temperature": "1"}, "invalid_value", "temperature"),
        ({"n": 0}, "invalid_value", "n"),
        ({"n": True}, "invalid_value", "n"),
        ({"max_tokens": 100_000}, "context_length_exceeded", "messages"),
        ({"stream_options": {"include_usage": True}}, "invalid_value", "stream_options"),
    ],
)
def test_what_the_engine_cannot_do_is_a_bad_request(
    client: OpenAI, body: dict[str, Any], code: str, param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{"model": "starter", "messages": ASK, **body})
    assert (caught.value.code, caught.value.param) == (code, param)


def test_a_responses_refusal_by_the_engine_names_the_responses_parameter(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="starter", input="x", max_output_tokens=100_000)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input")
