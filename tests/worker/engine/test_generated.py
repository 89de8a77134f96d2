"""What both generating routes honour beyond plain text: logprobs, response_format, penalties; and raw completions."""

import json
import math
from typing import Any

import pytest
import torch
from openai import BadRequestError, OpenAI

from fettle.datasets.formats.render import Renderer
from tests.worker.engine.conftest import KEY, QUESTION, Engine, greedy, user

pytestmark = pytest.mark.slow  # loads transformers

Oracles = dict[str | None, Any]
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "enum": ["Tom", "Zoe"]},
        "apples": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["name", "apples"],
    "additionalProperties": False,
}


@pytest.fixture
def client(engine: Engine) -> OpenAI:
    return OpenAI(base_url=f"{engine.url}/v1", api_key=KEY, max_retries=0)


def schema_format(schema: Any = SCHEMA) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "apples", "schema": schema, "strict": True}}


class TestLogprobs:
    def test_they_are_those_of_the_model_itself(self, client: OpenAI, oracles: Oracles, renderer: Renderer) -> None:
        answer = client.chat.completions.create(
            model="starter", messages=user(QUESTION), temperature=0, max_tokens=6, logprobs=True, top_logprobs=3
        )
        (choice,) = answer.choices
        assert choice.logprobs
        assert choice.logprobs.content
        prompt = renderer.prompt(user(QUESTION))
        ids = greedy(oracles[None], prompt, 6)
        with torch.inference_mode():
            logits_TV = oracles[None](input_ids=torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        expected_TV = torch.log_softmax(logits_TV, -1)
        assert len(choice.logprobs.content) == len([token for token in ids if token != renderer.eos_id])
        for place, said in enumerate(choice.logprobs.content):
            best = expected_TV[place].topk(3)
            assert said.logprob == pytest.approx(expected_TV[place, ids[place]].item(), abs=1e-4)
            assert [top.logprob for top in said.top_logprobs] == pytest.approx(best.values.tolist(), abs=1e-4)
            assert said.top_logprobs[0].token == said.token
            assert bytes(said.bytes or []).decode() == said.token
        assert "".join(said.token for said in choice.logprobs.content) == choice.message.content

    def test_a_stream_says_the_same(self, engine: Engine) -> None:
        fields = {"logprobs": True, "top_logprobs": 2, "n": 2}
        whole = engine.chat(**fields).json()
        said: list[list[Any]] = [[], []]
        for chunk in engine.chunks(**fields):
            (choice,) = chunk["choices"]
            if choice["logprobs"]:
                said[choice["index"]] += choice["logprobs"]["content"]
        assert said == [choice["logprobs"]["content"] for choice in whole["choices"]]

    def test_temperature_does_not_change_them(self, engine: Engine) -> None:
        hot = engine.chat(logprobs=True, temperature=2, seed=3, max_tokens=1, top_logprobs=5).json()
        cold = engine.chat(logprobs=True, max_tokens=1, top_logprobs=5).json()
        (hot_top,), (cold_top,) = (
            [entry["top_logprobs"] for entry in answer["choices"][0]["logprobs"]["content"]] for answer in (hot, cold)
        )
        assert hot_top == cold_top
        assert sum(math.exp(top["logprob"]) for top in cold_top) <= 1 + 1e-6


class TestResponseFormat:
    @pytest.mark.parametrize("temperature", [0, 2])
    def test_an_answer_follows_its_schema_however_wild_the_model(self, engine: Engine, temperature: float) -> None:
        engine.load("endless")
        texts = engine.texts(
            model="endless", response_format=schema_format(), max_tokens=200, n=4, temperature=temperature, seed=1
        )
        for text in texts:
            value = json.loads(text)
            assert value.keys() == {"name", "apples"}
            assert value["name"] in ("Tom", "Zoe")
            assert 0 <= value["apples"] <= 99

    def test_a_row_without_a_grammar_is_untouched_beside_one_with(self, engine: Engine) -> None:
        (free,) = engine.texts()
        assert engine.texts(response_format={"type": "text"}) == [free]
        assert engine.texts(response_format=schema_format(), max_tokens=100) != [free]

    def test_json_object_begins_as_an_object(self, engine: Engine) -> None:
        (text,) = engine.texts(response_format={"type": "json_object"}, max_tokens=30)
        assert text.lstrip().startswith("{")

    def test_logprobs_beside_a_grammar_are_still_the_models_own(self, engine: Engine) -> None:
        answer = engine.chat(response_format=schema_format(), logprobs=True, top_logprobs=1, max_tokens=3).json()
        first = answer["choices"][0]["logprobs"]["content"][0]
        assert first["logprob"] < first["top_logprobs"][0]["logprob"]  # the model would have begun otherwise

    @pytest.mark.parametrize(
        ("schema", "why"),
        [
            ({"type": "objekt"}, "Invalid type: objekt"),
            ({"allOf": [{"not": {"type": "string"}}]}, 'Unimplemented keys: ["not"]'),
            ({"type": "integer", "minimum": 5, "maximum": 3}, "minimum (5) is greater than maximum (3)"),
            ({"$ref": "http://127.0.0.1:9/x.json"}, "does not fetch resources"),
            ({"type": "string", "description": "x" * 70_000}, "the limit is 65,536"),
            ({"type": "object", "x-guidance": {}}, "'x-guidance' is not a JSON Schema keyword"),
        ],
    )
    def test_a_schema_that_cannot_be_followed_is_refused_with_the_reason(
        self, engine: Engine, schema: dict[str, Any], why: str
    ) -> None:
        response = engine.chat(response_format=schema_format(schema))
        error = response.json()["error"]
        assert (response.status_code, error["code"]) == (400, "invalid_json_schema")
        assert error["param"] == "response_format.json_schema.schema"
        assert why in error["message"]

    @pytest.mark.parametrize("form", [{"type": "xml"}, {"type": "json_schema"}, {"type": "grammar", "grammar": "x"}])
    def test_an_unknown_format_is_refused(self, engine: Engine, form: dict[str, Any]) -> None:
        response = engine.chat(response_format=form)
        assert response.status_code == 400
        assert response.json()["error"]["param"].startswith("response_format")

    def test_the_sdk_parses_it_into_a_model(self, client: OpenAI) -> None:
        from pydantic import BaseModel

        class Apples(BaseModel):
            count: bool

        parsed = client.chat.completions.parse(
            model="starter", messages=[{"role": "user", "content": "Hi"}], response_format=Apples, max_tokens=200
        )
        assert isinstance(parsed.choices[0].message.parsed, Apples)


class TestSteering:
    def test_a_bias_of_minus_100_bans_a_token_and_plus_100_forces_it(self, engine: Engine, renderer: Renderer) -> None:
        engine.load("endless")
        (free,) = engine.texts(model="endless", max_tokens=1)
        (first,) = renderer.tokenizer.encode(free, add_special_tokens=False).ids
        (banned,) = engine.texts(model="endless", max_tokens=1, logit_bias={str(first): -100})
        assert banned != free
        assert engine.texts(model="endless", max_tokens=5, logit_bias={str(first): 100}) == [free * 5]

    def test_penalties_keep_a_model_from_repeating_itself(self, engine: Engine, renderer: Renderer) -> None:
        said = {}
        for name, fields in {
            "free": {"logit_bias": {"50": 30, "51": 29.5}},
            "presence": {"logit_bias": {"50": 30, "51": 29.5}, "presence_penalty": 2},
            "frequency": {"logit_bias": {"50": 30, "51": 29.5}, "frequency_penalty": 2},
        }.items():
            response = engine.chat(max_tokens=6, logprobs=True, **fields).json()
            said[name] = [entry["token"] for entry in response["choices"][0]["logprobs"]["content"]]
        assert len(set(said["free"])) <= len(set(said["presence"]))
        assert said["free"][0] == said["frequency"][0]
        assert said["free"] != said["frequency"]

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"logit_bias": {"100000": 1}}, "logit_bias"),
            ({"logit_bias": {"5": 101}}, "logit_bias[5]"),
            ({"logit_bias": {"five": 1}}, "logit_bias.five"),
            ({"frequency_penalty": 3}, "frequency_penalty"),
            ({"top_logprobs": 3}, "top_logprobs"),
            ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ],
    )
    def test_what_is_out_of_range_is_refused_by_name(self, engine: Engine, fields: dict[str, Any], param: str) -> None:
        response = engine.chat(**fields)
        assert (response.status_code, response.json()["error"]["param"]) == (400, param)


class TestMessages:
    def test_the_developer_role_speaks_as_the_system(self, engine: Engine) -> None:
        said = [
            engine.chat(messages=[{"role": role, "content": "Be brief."}, *user(QUESTION)]).json()["choices"]
            for role in ("system", "developer")
        ]
        assert said[0] == said[1]

    def test_text_parts_are_one_text(self, engine: Engine) -> None:
        parts = [{"type": "text", "text": QUESTION[:9]}, {"type": "text", "text": QUESTION[9:]}]
        assert engine.texts(messages=[{"role": "user", "content": parts}]) == engine.texts()

    def test_other_parts_are_refused(self, engine: Engine) -> None:
        parts = [{"type": "image_url", "image_url": {"url": "http://x"}}]
        response = engine.chat(messages=[{"role": "user", "content": parts}])
        assert response.status_code == 400
        assert "Only text" in response.json()["error"]["message"]

    def test_a_control_token_in_a_message_ends_no_turn(self, engine: Engine, renderer: Renderer) -> None:
        text = "Hi<|im_end|>"
        usage = engine.chat(text=text, max_tokens=1).json()["usage"]
        one_token_more = len(renderer.prompt(user("Hi"))) + 1
        assert usage["prompt_tokens"] == len(renderer.prompt(user(text))) > one_token_more


class TestCompletions:
    def test_the_sdk_completes_a_raw_prompt(self, client: OpenAI, oracles: Oracles, renderer: Renderer) -> None:
        text = renderer.text(user(QUESTION), opening=True)
        ids = greedy(oracles[None], renderer.prompt(user(QUESTION)), 12)
        by_text = client.completions.create(model="starter", prompt=text, temperature=0, max_tokens=12)
        by_ids = client.completions.create(
            model="starter", prompt=renderer.prompt(user(QUESTION)), temperature=0, max_tokens=12
        )
        for answer in (by_text, by_ids):
            assert (answer.object, answer.id[:5]) == ("text_completion", "cmpl-")
            assert answer.choices[0].text == renderer.decode(ids)
            assert answer.usage
            assert answer.usage.completion_tokens == len(ids)

    def test_a_stream_says_the_same_with_logprobs(self, client: OpenAI) -> None:
        asked: dict[str, Any] = {"model": "starter", "prompt": "2 + 2 =", "temperature": 0, "max_tokens": 8}
        whole = client.completions.create(**asked, logprobs=2)
        chunks = list(client.completions.create(**asked, logprobs=2, stream=True))
        assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
        tokens = [t for chunk in chunks if (said := chunk.choices[0].logprobs) for t in said.tokens or []]
        assert whole.choices[0].logprobs
        assert tokens == whole.choices[0].logprobs.tokens

    def test_several_prompts_are_answered_as_each_alone(self, client: OpenAI) -> None:
        asked: dict[str, Any] = {"model": "starter", "max_tokens": 6, "n": 2, "seed": 3}
        prompts = ["Amy has 3 cups.", "Gus has 14 pens. Gus"]
        alone = [client.completions.create(prompt=prompt, **asked) for prompt in prompts]
        together = client.completions.create(prompt=prompts, **asked)
        texts = [choice.text for answer in alone for choice in answer.choices]
        assert [(choice.index, choice.text) for choice in together.choices] == list(enumerate(texts))
        assert together.usage
        assert together.usage.prompt_tokens == sum(answer.usage.prompt_tokens for answer in alone if answer.usage)
        streamed = dict.fromkeys(range(4), "")
        for chunk in client.completions.create(prompt=prompts, stream=True, **asked):
            streamed[chunk.choices[0].index] += chunk.choices[0].text
        assert list(streamed.values()) == texts

    def test_echo_puts_the_prompt_before_each_completion(self, client: OpenAI, renderer: Renderer) -> None:
        asked: dict[str, Any] = {"model": "starter", "temperature": 0, "max_tokens": 4}
        text = "<|im_start|>Amy has"
        plain = client.completions.create(prompt=text, **asked).choices[0].text
        ids = renderer.tokenizer.encode(text).ids
        for prompt in (text, ids):
            assert client.completions.create(prompt=prompt, echo=True, **asked).choices[0].text == text + plain
            chunks = client.completions.create(prompt=prompt, echo=True, stream=True, **asked)
            assert "".join(chunk.choices[0].text for chunk in chunks) == text + plain

    def test_best_of_hands_out_the_likeliest(self, client: OpenAI) -> None:
        asked: dict[str, Any] = {"model": "starter", "prompt": "Amy has", "max_tokens": 6, "seed": 1}
        drawn = client.completions.create(n=6, logprobs=0, **asked).choices

        def mean(choice: Any) -> float:
            return float(sum(choice.logprobs.token_logprobs) / len(choice.logprobs.token_logprobs))

        likeliest = [choice.text for choice in sorted(drawn, key=mean, reverse=True)]
        best = client.completions.create(n=2, best_of=6, **asked)
        assert [(choice.index, choice.text) for choice in best.choices] == list(enumerate(likeliest[:2]))
        assert best.choices[0].logprobs is None
        named = client.completions.create(n=1, best_of=6, logprobs=1, **asked).choices[0]
        assert named.text == likeliest[0] and named.logprobs and len(named.logprobs.tokens or []) > 0
        assert len(set(likeliest)) > 1  # or nothing is chosen

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"prompt": ""}, "prompt"),
            ({"prompt": [10_000]}, "prompt"),
            ({"suffix": "x"}, "suffix"),
            ({}, "prompt"),
            ({"prompt": []}, "prompt"),
            ({"prompt": ["x", ""]}, "prompt[1]"),
            ({"prompt": ["x"] * 65}, "prompt"),
            ({"prompt": [[5], [10_000]]}, "prompt[1]"),
            ({"prompt": ["x"] * 33, "n": 8}, "prompt"),
            ({"echo": True, "logprobs": 1}, "echo"),
            ({"n": 3, "best_of": 2}, "best_of"),
            ({"best_of": 2, "stream": True}, "best_of"),
        ],
    )
    def test_what_it_cannot_honour_is_refused(self, client: OpenAI, fields: dict[str, Any], param: str) -> None:
        with pytest.raises(BadRequestError) as refused:
            client.post(
                "/completions",
                body={"model": "starter", "prompt": "x"} | fields if fields else {"model": "starter"},
                cast_to=object,
            )
        assert str(refused.value.param).startswith(param)
