"""Rows with a better and a worse response to one prompt.

OpenAI's `{"input": {"messages"}, "preferred_output", "non_preferred_output"}`, also with its older names
`preferred_completion` and `non_preferred_completion`, and TRL's `{"prompt", "chosen", "rejected"}`, strings or
messages; without a prompt, TRL's two whole conversations, whose common beginning is the prompt. A response is one
assistant's message.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from fettle.datasets.formats import aliases, chat, texts, tools
from fettle.datasets.formats.chat import Conversation, Message
from fettle.datasets.formats.problems import RowProblem, kind, quoted
from fettle.datasets.formats.prompt_completion import as_messages, context
from fettle.datasets.formats.texts import EMPTY, filled

BETTER = ("preferred_output", "preferred_completion", "chosen")
WORSE = ("non_preferred_output", "non_preferred_completion", "rejected")
KEYS = frozenset({*BETTER, *WORSE})
OPENAI = KEYS - {"chosen", "rejected"}  # always lists of messages


class Pair(NamedTuple):
    """One comparison; chosen and rejected are the assistant's messages."""

    prompt: list[Message]
    chosen: Message
    rejected: Message
    tools: list[dict[str, Any]] | None = None

    @property
    def variables(self) -> dict[str, Any]:
        """Those of the chat template, beside the messages."""
        return {"tools": self.tools} if self.tools else {}


class Sides(NamedTuple):
    """A row's parts as they stand in it, each with its path."""

    prompt_path: str
    prompt: Any
    better_path: str
    better: Any
    worse_path: str
    worse: Any
    tools: Any


def sides(row: dict[str, Any]) -> Sides:
    """Of a row with one of KEYS."""
    better = next((key for key in BETTER if row.get(key) is not None), "")
    worse = next((key for key in WORSE if row.get(key) is not None), "")
    if better in BETTER[:2] or worse in WORSE[:2] or isinstance(row.get("input"), dict):
        parts = row.get("input")
        inside = parts if isinstance(parts, dict) else {}
        prompt_path, prompt, toolbox = "input.messages", inside.get("messages"), inside.get("tools")
        better, worse = better or BETTER[0], worse or WORSE[0]
    else:
        prompt_path, prompt, toolbox = "prompt", row.get("prompt"), row.get("tools")
        better, worse = better or BETTER[2], worse or WORSE[2]
    return Sides(prompt_path, prompt, better, row.get(better), worse, row.get(worse), toolbox)


def split(better: Any, worse: Any) -> int:
    """How many messages two whole conversations begin with in common; the last of each is a response."""
    count = 0
    for left, right in zip(better[:-1], worse[:-1], strict=False):
        if left != right:
            break
        count += 1
    return count


def to_pairs(row: dict[str, Any]) -> list[Pair]:
    parts = sides(row)
    if parts.prompt is None:
        shared = split(parts.better, parts.worse)
        return [pair(parts.better[:shared], parts.better[shared:], parts.worse[shared:], parts.tools)]
    return [pair(parts.prompt, parts.better, parts.worse, parts.tools)]


def pair(prompt: Any, better: Any, worse: Any, toolbox: Any) -> Pair:
    before = [chat.normalised(context(message)) for message in as_messages(prompt, "user")]
    (chosen,), (rejected,) = (as_messages(side, "assistant") for side in (better, worse))
    return Pair(before, chat.normalised(chosen), chat.normalised(rejected), tools.definitions(toolbox))


def to_conversation(row: dict[str, Any]) -> Conversation:
    """The prompt and the better response."""
    first = to_pairs(row)[0]
    return Conversation([*first.prompt, first.chosen], first.tools)


def plain(row: dict[str, Any]) -> bool:
    """Whether a row, like nearly all, is surely right: `check` finds nothing. False leaves it open."""
    prompt, chosen, rejected = row.get("prompt"), row.get("chosen"), row.get("rejected")
    return len(row) == 3 and filled(prompt) and filled(chosen) and filled(rejected) and chosen != rejected


def check(row: dict[str, Any]) -> Iterator[RowProblem]:
    """Everything that keeps a row with one of KEYS from being trained on."""
    parts = sides(row)
    if parts.tools is not None:
        yield from tools.check_row({"tools": parts.tools})
    missing = False
    for path, value in ((parts.better_path, parts.better), (parts.worse_path, parts.worse)):
        if value is None:
            missing = True
            yield RowProblem(path, "missing_response", {"key": quoted(path), "rename": aliases.advice_for(path, row)})
    prompt = parts.prompt
    if prompt is None and not missing:
        whole = isinstance(parts.better, list) and isinstance(parts.worse, list)
        if parts.prompt_path == "prompt" and whole and split(parts.better, parts.worse):
            prompt = parts.better[: split(parts.better, parts.worse)]
            length = len(prompt)
            yield from check_prompt("chosen", prompt)
            yield from check_response(parts.better_path, parts.better[length:])
            yield from check_response(parts.worse_path, parts.worse[length:])
            yield from check_different(parts.worse_path, parts.better, parts.worse)
            return
    if prompt is None:
        names: dict[str, str | int] = {
            "key": quoted(parts.prompt_path),
            "rename": aliases.advice_for(parts.prompt_path, row),
        }
        yield RowProblem(parts.prompt_path, "missing_prompt", names)
    else:
        yield from check_prompt(parts.prompt_path, prompt)
    for path, value in ((parts.better_path, parts.better), (parts.worse_path, parts.worse)):
        if value is not None:
            yield from check_response(path, value)
    if not missing:
        yield from check_different(parts.worse_path, parts.better, parts.worse)


def check_prompt(path: str, prompt: Any) -> Iterator[RowProblem]:
    """A text, or messages of which the last is not the assistant's."""
    if isinstance(prompt, str):
        if not filled(prompt):
            yield RowProblem(path, "empty_text", {"key": quoted(path)})
        return
    if texts.is_parts(prompt):
        yield from (RowProblem(f"{path}{inner}", code, names) for inner, code, names in texts.check_parts(prompt))
        return
    if not isinstance(prompt, list):
        yield RowProblem(path, "prompt_not_text_or_messages", {"key": quoted(path), "kind": kind(prompt)})
        return
    if not prompt:
        yield RowProblem(path, "empty_messages_list", {"key": quoted(path)})
        return
    for index, message in enumerate(prompt):
        at = f"{path}[{index}]"
        if not isinstance(message, dict):
            yield RowProblem(at, "message_not_object", {"kind": kind(message)})
            continue
        if message.get("weight") not in (None, 0):
            yield RowProblem(f"{at}.weight", "weight_in_prompt")
        for inner, code, names in chat.check_message(message, index):
            yield RowProblem(f"{at}{inner}", code, names)
    if tools.used(prompt):
        yield from tools.check_answers(prompt, lambda index: f"{path}[{index}]")
    if isinstance(prompt[-1], dict) and prompt[-1].get("role") == "assistant":
        yield RowProblem(f"{path}[{len(prompt) - 1}].role", "prompt_ends_with_assistant")


def check_response(path: str, response: Any) -> Iterator[RowProblem]:
    """A text, or one assistant's message in a list."""
    if isinstance(response, str):
        if not filled(response):
            yield RowProblem(path, "empty_text", {"key": quoted(path)})
        return
    if texts.is_parts(response):
        yield from (RowProblem(f"{path}{inner}", code, names) for inner, code, names in texts.check_parts(response))
        return
    if not isinstance(response, list):
        yield RowProblem(path, "response_not_text_or_message", {"key": quoted(path), "kind": kind(response)})
        return
    if len(response) != 1:
        yield RowProblem(path, "response_not_one_message", {"key": quoted(path), "count": len(response)})
        return
    (message,) = response
    at = f"{path}[0]"
    if not isinstance(message, dict):
        yield RowProblem(at, "message_not_object", {"kind": kind(message)})
        return
    for inner, code, names in chat.check_message(message, 1):
        yield RowProblem(f"{at}{inner}", code, names)
    if message.get("role") in chat.ROLES and message["role"] != "assistant":
        yield RowProblem(f"{at}.role", "response_not_assistants")


def check_different(path: str, better: Any, worse: Any) -> Iterator[RowProblem]:
    if text_of(better) == text_of(worse):
        yield RowProblem(path, "identical_responses", {"key": quoted(path)})


def text_of(response: Any) -> Any:
    """What a response comes to, however it is written; for telling two apart."""
    if isinstance(response, str):
        return response
    if texts.is_parts(response):
        return texts.joined(response)
    if isinstance(response, list) and len(response) == 1 and isinstance(response[0], dict):
        (message,) = response
        kept = {key: value for key, value in message.items() if value not in EMPTY and key not in ("role", "weight")}
        if "content" in kept:
            kept["content"] = texts.joined(kept["content"])
        return kept["content"] if kept.keys() == {"content"} else kept
    return response


def all_pairs(prompt: Any, levels: Sequence[Sequence[Any]], toolbox: Any) -> list[Pair]:
    """Every response against every one of a lower level; those of one level are ties."""
    return [
        pair(prompt, better, worse, toolbox)
        for rank, level in enumerate(levels)
        for lower in levels[rank + 1 :]
        for better in level
        for worse in lower
    ]
