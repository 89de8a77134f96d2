"""Drives Fettle with LangChain, instructor and LiteLLM as their users do. Run with .venv/clients ahead on the path.

    python drive.py LIBRARY    with OPENAI_BASE_URL and OPENAI_API_KEY

Prints what each call came to, as one JSON object. A call that raises ends the run.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel

MODEL = "starter"
QUESTION = "Amy has 3 cups. Amy buys 4 more. How many cups does Amy have?"
MESSAGES: Any = [{"role": "user", "content": QUESTION}]


class Order(BaseModel):
    """What was ordered."""

    part: Literal["cup", "pen"]
    count: int


def langchain() -> dict[str, Any]:
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_openai import ChatOpenAI, OpenAI

    chat = ChatOpenAI(model=MODEL, temperature=0, max_completion_tokens=130)
    answer = chat.invoke(QUESTION)
    chunks = list(chat.stream(QUESTION, stream_usage=True))
    called = chat.bind_tools([Order], tool_choice="Order").invoke(QUESTION)
    any_tool = chat.bind_tools([Order], tool_choice="any", parallel_tool_calls=False)
    history: list[Any] = [HumanMessage(QUESTION), any_tool.invoke(QUESTION)]
    history += [ToolMessage("7", tool_call_id=call["id"]) for call in history[1].tool_calls]
    streamed = None
    for chunk in chat.bind_tools([Order], tool_choice="Order").stream(QUESTION):
        streamed = chunk if streamed is None else streamed + chunk
    responses = ChatOpenAI(model=MODEL, temperature=0, max_completion_tokens=130, use_responses_api=True)
    return {
        "chat": answer.content,
        "tokens": answer.usage_metadata["total_tokens"],
        "stream": "".join(chunk.content for chunk in chunks),
        "stream_tokens": sum(chunk.usage_metadata["total_tokens"] for chunk in chunks if chunk.usage_metadata),
        "tool": called.tool_calls[0]["args"],
        "tool_streamed": streamed.tool_calls[0]["args"],
        "any_tool": history[1].tool_calls[0]["args"],
        "after_tool": type(chat.bind_tools([Order]).invoke(history).content).__name__,
        "structured": chat.with_structured_output(Order).invoke(QUESTION).model_dump(),
        "structured_by_tool": chat.with_structured_output(Order, method="function_calling")
        .invoke(QUESTION)
        .model_dump(),
        "responses": responses.invoke(QUESTION).text,
        "responses_tool": responses.bind_tools([Order], tool_choice="Order").invoke(QUESTION).tool_calls[0]["args"],
        "completions": OpenAI(model=MODEL, max_tokens=4, temperature=0).batch(["Amy has", "Gus has"]),
    }


def instructor() -> dict[str, Any]:
    import instructor as library
    from openai import OpenAI

    asked: Any = {"model": MODEL, "messages": MESSAGES, "temperature": 0, "max_tokens": 130, "max_retries": 0}
    client = library.from_openai(OpenAI())
    order, completion = client.create_with_completion(response_model=Order, **asked)
    by_schema = library.from_openai(OpenAI(), mode=library.Mode.JSON_SCHEMA)
    return {
        "chat": OpenAI()
        .chat.completions.create(model=MODEL, messages=MESSAGES, temperature=0)
        .choices[0]
        .message.content,
        "tokens": completion.usage.total_tokens,
        "tool": order.model_dump(),
        "tool_streamed": list(client.create_partial(response_model=Order, **asked))[-1].model_dump(),
        "structured": by_schema.create(response_model=Order, **asked).model_dump(),
        "from_provider": library.from_provider(f"openai/{MODEL}")
        .create(response_model=Order, **{name: each for name, each in asked.items() if name != "model"})
        .model_dump(),
    }


def litellm() -> dict[str, Any]:
    import litellm as library

    asked: Any = {
        "model": f"openai/{MODEL}",
        "api_base": os.environ["OPENAI_BASE_URL"],
        "messages": MESSAGES,
        "temperature": 0,
        "max_tokens": 130,
    }
    function = {"name": "order", "description": "Orders.", "parameters": Order.model_json_schema()}
    forced: Any = {
        "tools": [{"type": "function", "function": function}],
        "tool_choice": {"type": "function", "function": {"name": "order"}},
    }
    answer = library.completion(**asked)
    chunks = list(library.completion(**asked, stream=True, stream_options={"include_usage": True}))
    streamed = library.stream_chunk_builder(list(library.completion(**asked, **forced, stream=True)))
    called = library.completion(**asked, **forced).choices[0].message.tool_calls[0].function
    structured = library.completion(**asked, response_format=Order).choices[0].message.content
    raw: Any = {"model": f"text-completion-openai/{MODEL}", "api_base": asked["api_base"], "temperature": 0}
    raw |= {"prompt": ["Amy has", "Gus has"], "max_tokens": 4}
    return {
        "chat": answer.choices[0].message.content,
        "tokens": answer.usage.total_tokens,
        "stream": "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices),
        "stream_tokens": sum(chunk.usage.total_tokens for chunk in chunks if getattr(chunk, "usage", None)),
        "tool": json.loads(called.arguments),
        "tool_streamed": json.loads(streamed.choices[0].message.tool_calls[0].function.arguments),
        "structured": json.loads(structured),
        "completions": [choice.text for choice in library.text_completion(**raw).choices],
    }


LIBRARIES: dict[str, Callable[[], dict[str, Any]]] = {
    "langchain": langchain,
    "instructor": instructor,
    "litellm": litellm,
}


if __name__ == "__main__":
    print(json.dumps(LIBRARIES[sys.argv[1]]()))
