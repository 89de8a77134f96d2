"""A chat completion on its way to the client, read along so that it can be stored."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson

from api.streams.response_events import data

Keep = Callable[[dict[str, Any]], Awaitable[None]]
END = b"[DONE]"


async def kept(chunks: AsyncIterator[bytes], streams: bool, keep: Keep) -> AsyncIterator[bytes]:
    """The same chunks. keep: hears the whole completion before the client learns that it is whole."""
    seen: list[bytes] = []
    async for chunk in chunks:
        seen.append(chunk)
        if streams and END in b"".join(seen[-2:]):  # it may be cut in two
            await keep(await whole(seen))
        yield chunk
    if not streams:
        await keep(orjson.loads(b"".join(seen)))


async def whole(chunks: list[bytes]) -> dict[str, Any]:
    """The chat.completion of a stream's chunks."""

    async def again() -> AsyncIterator[bytes]:
        yield b"".join(chunks)

    made: dict[str, Any] = {"usage": None}
    choices: dict[int, dict[str, Any]] = {}
    async for chunk in data(again()):
        made |= {name: chunk[name] for name in ("id", "created", "model") if name in chunk}
        made["usage"] = chunk.get("usage") or made["usage"]
        for piece in chunk.get("choices", ()):
            message: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": []}
            choice = choices.setdefault(piece["index"], {"index": piece["index"], "message": message})
            choice["finish_reason"] = piece.get("finish_reason") or choice.get("finish_reason")
            join(choice["message"], piece["delta"])
    for choice in choices.values():
        choice["message"] = {name: value for name, value in choice["message"].items() if value != []}
    return {**made, "object": "chat.completion", "choices": [choices[index] for index in sorted(choices)]}


def join(message: dict[str, Any], delta: dict[str, Any]) -> None:
    if (text := delta.get("content")) is not None:
        message["content"] = (message["content"] or "") + text
    for piece in delta.get("tool_calls") or ():
        if "id" in piece:
            message["tool_calls"].append({"id": piece["id"], "type": "function", "function": dict(piece["function"])})
        elif message["tool_calls"]:
            function = message["tool_calls"][-1]["function"]
            function["arguments"] = function.get("arguments", "") + (piece["function"].get("arguments") or "")
