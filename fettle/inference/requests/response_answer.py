"""The answer to a Responses request: OpenAI's response object, read from a chat completion."""

import time
from dataclasses import dataclass, field
from typing import Any, Literal

from fettle import ids
from fettle.inference.requests.response import ResponseCreate
from fettle.inference.usage import cached_tokens


@dataclass
class Answer:
    """What is known of the answer so far."""

    request: ResponseCreate
    name: str  # of the model
    stored: bool = False
    text: str = ""
    logprobs: list[dict[str, Any]] = field(default_factory=list)  # of the text's tokens, where they are asked for
    calls: list[dict[str, Any]] = field(default_factory=list)  # function_call items
    has_message: bool = False  # a stream has begun one
    status: Literal["in_progress", "completed", "incomplete", "failed"] = "in_progress"
    usage: dict[str, Any] | None = None
    error: dict[str, str] | None = None
    id: str = field(default_factory=lambda: ids.new("resp_"))
    message_id: str = field(default_factory=lambda: ids.new("msg_"))
    created: float = field(default_factory=time.time)
    ended: float = 0.0

    def end(self, finish_reason: str) -> None:
        self.status = "incomplete" if finish_reason == "length" else "completed"
        self.ended = time.time()

    def read(self, completion: dict[str, Any]) -> None:
        """Takes a chat completion that is whole."""
        choice = completion["choices"][0]
        self.text, self.usage = choice["message"]["content"] or "", completion["usage"]
        self.logprobs += logprobs_of(choice)
        for call in choice["message"].get("tool_calls") or ():
            self.call(call)
        self.end(choice["finish_reason"])

    def part(self) -> dict[str, Any]:
        return {"type": "output_text", "text": self.text, "annotations": [], "logprobs": self.logprobs}

    def message(self) -> dict[str, Any]:
        ended = self.status in ("completed", "incomplete")
        return {
            "id": self.message_id,
            "type": "message",
            "role": "assistant",
            "status": self.status if ended else "in_progress",
            "content": [self.part()] if ended else [],
        }

    def output(self) -> list[dict[str, Any]]:
        """Its items: text, unless there are calls alone."""
        text = self.text or self.has_message or not self.calls
        return [*([self.message()] if text else []), *self.calls]

    def call(self, call: dict[str, Any]) -> dict[str, Any]:
        """The item of a call that the engine makes."""
        function = call["function"]
        item = {"id": ids.new("fc_"), "type": "function_call", "status": "completed", "call_id": call["id"]}
        self.calls.append(item | {"name": function["name"], "arguments": function.get("arguments") or ""})
        return self.calls[-1]

    def choice(self) -> str | dict[str, Any]:
        asked = self.request.tool_choice
        if asked is None:
            return "auto" if self.request.tools else "none"
        return asked if isinstance(asked, str) else asked.model_dump()

    def body(self) -> dict[str, Any]:
        """OpenAI's response object."""
        request, ended = self.request, self.status in ("completed", "incomplete")
        return {
            "id": self.id,
            "object": "response",
            "created_at": int(self.created),
            "completed_at": int(self.ended) if self.status == "completed" else None,
            "status": self.status,
            "error": self.error,
            "incomplete_details": {"reason": "max_output_tokens"} if self.status == "incomplete" else None,
            "instructions": request.instructions,
            "max_output_tokens": request.max_output_tokens,
            "metadata": request.metadata or {},
            "model": self.name,
            "output": self.output() if ended else [],
            "parallel_tool_calls": request.parallel_tool_calls is not False,
            "previous_response_id": request.previous_response_id,
            "reasoning": request.reasoning.model_dump(exclude={"generate_summary"}) if request.reasoning else None,
            "store": self.stored,
            "temperature": 1.0 if request.temperature is None else request.temperature,
            "text": {"format": request.format.model_dump(by_alias=True, exclude_none=True)},
            "tool_choice": self.choice(),
            "top_logprobs": request.top_logprobs or 0,
            "tools": [tool.body() for tool in request.tools or []],
            "top_p": 1.0 if request.top_p is None else request.top_p,
            "truncation": "disabled",
            "usage": usage_object(self.usage) if self.usage else None,
        }


def logprobs_of(choice: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a choice, or of a streamed part of it."""
    return (choice.get("logprobs") or {}).get("content") or []


def usage_object(usage: dict[str, Any]) -> dict[str, Any]:
    """The engine counts no reasoning tokens apart, and writing to its cache costs nothing."""
    return {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": cached_tokens(usage), "cache_write_tokens": 0},
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage["total_tokens"],
    }
