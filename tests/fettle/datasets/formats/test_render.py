"""Ids and loss mask equal transformers'; the mask is right where transformers gives none."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fettle.datasets.formats.control_tokens import MARK
from fettle.datasets.formats.render import Message, Renderer
from fettle.errors import TrainingFailed
from fettle.registry.catalog import STARTER
from tests.fettle.datasets.formats.given import ASSISTANT, USER, message, problems

SYSTEM = message("system", "You are a careful tutor.")
SINGLE_TURN: list[list[Message]] = [
    [USER, ASSISTANT],
    [SYSTEM, USER, message("assistant", "<think>2 + 3 = 5.</think><answer>5</answer>")],
    [message("user", "  spaces \n\n"), message("assistant", "  four\n\n    spaces\t and ends in some  \n\n")],
    [message("user", "Grüße, 日本 🧑‍🚀"), message("assistant", "🧑‍🚀 é e\u0301 \u202e ﷽")],
    [message("user", "{{ messages }} {% generation %}"), message("assistant", "{% endgeneration %}{# x #}")],
    [message("user", ""), message("assistant", "\n")],
    [message("user", "assistant\n5"), message("assistant", "user\n5")],
]
CONVERSATIONS: list[list[Message]] = [
    *SINGLE_TURN,
    [USER, ASSISTANT, message("user", "And 4 + 5?"), message("assistant", "9")],
    [SYSTEM, USER, USER, ASSISTANT, ASSISTANT, message("user", "Sure?"), message("assistant", "5")],
    [ASSISTANT, USER, ASSISTANT],
    [USER],
]


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(STARTER)


@pytest.fixture
def with_template(tmp_path: Path) -> Callable[[str], Renderer]:
    """The starter with another chat template."""

    def make(template: str) -> Renderer:
        folder = tmp_path / "base"
        shutil.copytree(STARTER, folder, ignore=shutil.ignore_patterns("*.safetensors", "*.py", "__pycache__"))
        (folder / "chat_template.jinja").write_text(template)
        return Renderer(folder)

    return make


@pytest.fixture
def unmarked(with_template: Callable[[str], Renderer]) -> Renderer:
    text = (STARTER / "chat_template.jinja").read_text()
    for tag in ("{%- generation %}", "{%- endgeneration %}"):
        assert tag in text
        text = text.replace(tag, "")
    return with_template(text)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(STARTER)


def supervised_text(renderer: Renderer, messages: list[Message]) -> str:
    """What the loss counts, as text with its special tokens."""
    rendered = renderer.render(messages)
    ids = [token for token, counts in zip(rendered.ids, rendered.supervised, strict=True) if counts]
    return str(renderer.tokenizer.decode(ids, skip_special_tokens=False))


@pytest.mark.slow
@pytest.mark.parametrize("messages", CONVERSATIONS)
def test_ids_and_mask_equal_transformers(messages: list[Message], renderer: Renderer, tokenizer: Any) -> None:
    theirs = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    rendered = renderer.render(messages)
    assert rendered.ids == theirs["input_ids"]
    assert rendered.supervised == [bool(counts) for counts in theirs["assistant_masks"]]
    assert any(rendered.supervised) == any(turn["role"] == "assistant" for turn in messages)


@pytest.mark.slow
@pytest.mark.parametrize("messages", CONVERSATIONS)
def test_the_prompt_equals_transformers(messages: list[Message], renderer: Renderer, tokenizer: Any) -> None:
    theirs = tokenizer.apply_chat_template(messages, return_dict=True, add_generation_prompt=True)
    assert renderer.prompt(messages) == theirs["input_ids"]


@pytest.mark.slow
def test_text_equals_transformers(renderer: Renderer, tokenizer: Any) -> None:
    for messages in CONVERSATIONS:
        assert renderer.text(messages) == tokenizer.apply_chat_template(messages, tokenize=False)


@pytest.mark.slow
@pytest.mark.parametrize("spaces", ["", "    "])
def test_the_template_language_equals_transformers(
    spaces: str, with_template: Callable[[str], Renderer], tokenizer: Any
) -> None:
    lines = [
        "{% for message in messages %}",
        "{% if message.role == 'system' %}",
        "{% continue %}",
        "{% endif %}",
        "{{ message | tojson }} {{ {'b': 'é', 'a': [1]} | tojson(indent=2) }} {{ eos_token }}",
        "{% if message.content == '5' %}",
        "{% break %}",
        "{% endif %}",
        "{% endfor %}",
        "{% if add_generation_prompt %}>{% endif %}",
    ]
    template = "\n".join(spaces + text for text in lines)
    renderer = with_template(template)
    talk = [SYSTEM, USER, message("assistant", "è <b>"), ASSISTANT, USER]
    for opening in (False, True):
        theirs = tokenizer.apply_chat_template(
            talk, chat_template=template, tokenize=False, add_generation_prompt=opening
        )
        assert renderer.text(talk, opening=opening) == theirs


def test_an_answer_and_the_token_that_ends_it_are_supervised_and_nothing_else(renderer: Renderer) -> None:
    assert renderer.text([USER, ASSISTANT]) == (
        "<|im_start|>user\nHow much is 2 + 3?<|im_end|>\n<|im_start|>assistant\n5<|im_end|>\n"
    )
    assert supervised_text(renderer, [USER, ASSISTANT]) == "5<|im_end|>"


def test_a_rendered_row_begins_with_its_prompt(renderer: Renderer) -> None:
    for messages in CONVERSATIONS[:-1]:
        prompt = renderer.prompt(messages[:-1])
        rendered = renderer.render(messages)
        assert rendered.ids[: len(prompt)] == prompt
        assert all(rendered.supervised[len(prompt) : -1])


@pytest.mark.parametrize("messages", SINGLE_TURN)
def test_a_template_without_markers_gives_the_same_mask(
    messages: list[Message], renderer: Renderer, unmarked: Renderer
) -> None:
    assert renderer.marks_generation
    assert not unmarked.marks_generation
    assert unmarked.render(messages) == renderer.render(messages)


def test_a_template_without_markers_supervises_every_turn_of_a_conversation(
    renderer: Renderer, unmarked: Renderer
) -> None:
    messages = [USER, ASSISTANT, message("user", "And 4 + 5?"), message("assistant", "9")]
    assert unmarked.render(messages) == renderer.render(messages)
    assert supervised_text(unmarked, messages) == "5<|im_end|>9<|im_end|>"


def test_a_user_who_repeats_the_assistants_words_is_not_supervised(renderer: Renderer, unmarked: Renderer) -> None:
    echo = [message("user", "5"), ASSISTANT, message("user", "5"), message("assistant", "5")]
    for one in (renderer, unmarked):
        rendered = one.render(echo)
        assert supervised_text(one, echo) == "5<|im_end|>5<|im_end|>"
        opening = len(one.prompt(echo[:1]))
        assert not any(rendered.supervised[:opening])
        assert rendered.supervised[opening]


@pytest.mark.parametrize(("weights", "text"), [((0, 1), "9<|im_end|>"), ((1, 0), "5<|im_end|>"), ((0, 0), "")])
def test_weight_0_is_context_only(weights: tuple[int, int], text: str, renderer: Renderer, unmarked: Renderer) -> None:
    first, second = weights
    weighted = [USER, message("assistant", "5", weight=first), USER, message("assistant", "9", weight=second)]
    bare = [{key: turn[key] for key in ("role", "content")} for turn in weighted]
    for one in (renderer, unmarked):
        assert supervised_text(one, weighted) == text
        assert one.render(weighted).ids == one.render(bare).ids


def test_a_template_that_rewrites_earlier_turns_is_refused(with_template: Callable[[str], Renderer]) -> None:
    rewriting = with_template(
        "{% for message in messages %}{% if loop.last or message.role == 'user' %}{{ message.content }}\n"
        "{% else %}(cut)\n{% endif %}{% endfor %}"
    )
    assert supervised_text(rewriting, [USER, ASSISTANT]) == "5"
    with pytest.raises(TrainingFailed, match="rewrites earlier turns") as raised:
        rewriting.render([USER, ASSISTANT, USER, ASSISTANT])
    assert raised.value.code == "chat_template_unsupported"
    assert rewriting.rewrites
    first, second = rewriting.sequences([USER, ASSISTANT, USER, ASSISTANT])
    assert first == rewriting.render([USER, ASSISTANT])
    assert rewriting.decode(second.ids) == f"{USER['content']}\n(cut)\n{USER['content']}\n5\n"
    assert second.lessons == first.lessons == 1


def test_the_mark_can_be_in_no_valid_dataset(tmp_path: Path) -> None:
    assert MARK == "\0"
    for place in ({"prompt": MARK, "completion": "x"}, {"prompt": "x", "completion": f"a{MARK}b"}):
        assert [code for _, _, code in problems(tmp_path, json.dumps(place).encode())] == ["nul"]
    for escaped in (True, False):
        text = json.dumps({"messages": [USER, message("assistant", f"5{MARK}")]})
        raw = text.replace("\\u0000", MARK) if not escaped else text
        assert "nul" in [code for _, _, code in problems(tmp_path, raw.encode())]


def test_a_base_model_without_a_chat_template_is_refused(with_template: Callable[[str], Renderer]) -> None:
    with pytest.raises(TrainingFailed) as raised:
        with_template("")
    assert raised.value.code == "no_chat_template"


TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
CALL = {"id": "1", "type": "function", "function": {"name": "add", "arguments": {"a": 2, "b": 3}}}
CALLING: list[Message] = [
    USER,
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "5", "tool_call_id": "1"},
    ASSISTANT,
]
WITH_TOOLS = """{%- if tools %}{{- '<tools>' + (tools | tojson) + '</tools>\n' }}{%- endif %}
{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' }}
{%- if message.role == 'assistant' %}{% generation %}
{%- for call in message.tool_calls or [] %}{{- call.function.arguments | tojson }}{% endfor %}
{{- message.content + '<|im_end|>' }}{% endgeneration %}{{- '\n' }}
{%- else %}{{- message.content + '<|im_end|>\n' }}{%- endif %}
{%- endfor %}"""


class TestTools:
    def test_a_template_that_knows_them_shows_definitions_calls_and_answers(
        self, with_template: Callable[[str], Renderer]
    ) -> None:
        renderer = with_template(WITH_TOOLS)
        text = renderer.text(CALLING, tools=[TOOL])
        assert text.startswith(f"<tools>{json.dumps([TOOL])}</tools>\n<|im_start|>user")
        assert '<|im_start|>assistant\n{"a": 2, "b": 3}<|im_end|>' in text
        assert "<|im_start|>tool\n5<|im_end|>" in text
        ids = renderer.render(CALLING, tools=[TOOL])
        learned = [token for token, counts in zip(ids.ids, ids.supervised, strict=True) if counts]
        assert renderer.tokenizer.decode(learned, skip_special_tokens=False) == (
            '{"a": 2, "b": 3}<|im_end|>5<|im_end|>'
        )

    @pytest.mark.slow
    def test_with_tools_too_ids_and_mask_equal_transformers(
        self, with_template: Callable[[str], Renderer], tokenizer: Any
    ) -> None:
        theirs = tokenizer.apply_chat_template(
            CALLING, chat_template=WITH_TOOLS, tools=[TOOL], return_dict=True, return_assistant_tokens_mask=True
        )
        rendered = with_template(WITH_TOOLS).render(CALLING, tools=[TOOL])
        assert rendered.ids == theirs["input_ids"]
        assert rendered.supervised == [bool(counts) for counts in theirs["assistant_masks"]]

    @pytest.mark.parametrize(
        ("messages", "tools", "lost"), [(CALLING, None, "'tool_calls'"), ([USER, ASSISTANT], [TOOL], "'tools'")]
    )
    def test_a_template_that_does_not_know_them_is_an_error_and_loses_nothing(
        self, with_template: Callable[[str], Renderer], messages: list[Message], tools: Any, lost: str
    ) -> None:
        renderer = with_template(
            "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
        )
        with pytest.raises(TrainingFailed, match=f"The row has {lost}, but") as raised:
            renderer.render(messages, **({"tools": tools} if tools else {}))
        assert raised.value.code == "tools_unsupported"

    def test_without_tools_a_template_sees_none_as_in_transformers(
        self, with_template: Callable[[str], Renderer]
    ) -> None:
        renderer = with_template("{% if tools is not none %}tools{% endif %}{{ messages[0].content }}")
        assert renderer.text([USER]) == USER["content"]


def test_what_a_template_refuses_is_told_in_its_words(with_template: Callable[[str], Renderer]) -> None:
    strict = with_template("{{ raise_exception('System role not supported') }}{{ messages[0].content }}")
    with pytest.raises(TrainingFailed, match="refuses the conversation: System role not supported") as raised:
        strict.render([SYSTEM, USER, ASSISTANT])
    assert raised.value.code == "chat_template_refused"


@pytest.mark.parametrize("messages", CONVERSATIONS)
def test_the_texts_of_the_tokens_are_the_text_of_the_conversation(messages: list[Message], renderer: Renderer) -> None:
    ((rendered, pieces),) = renderer.sequences_with_text(messages)
    assert rendered == renderer.render(messages)
    assert len(pieces) == len(rendered.ids)
    assert "".join(pieces) == renderer.text(messages)
