"""The endpoints that a batch can call: the engine request for each, and the response in OpenAI's format."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from fettle.errors import InvalidRequest, from_schema
from fettle.inference import client
from fettle.inference.requests import response
from fettle.inference.requests.chat import ChatRequest
from fettle.inference.requests.completion import CompletionRequest
from fettle.inference.requests.response import ResponseCreate
from fettle.inference.requests.response_answer import Answer
from fettle.inference.requests.response_tools import ITEM_TYPES

Body = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    model: str
    body: Body  # for the engine
    path: str  # of the engine's route
    answer: Callable[[Body], Body] = lambda completion: completion
    refusal: Callable[[Body], Body] = lambda error: error


def chat(body: Body) -> Asked:
    request = ChatRequest.model_validate(body)
    return Asked(request.model, request.for_engine(), client.CHAT)


def completion(body: Body) -> Asked:
    request = CompletionRequest.model_validate(body)
    return Asked(request.model, request.for_engine(), client.COMPLETIONS)


def respond(body: Body) -> Asked:
    """Nothing is stored: the batch's output file holds the answers."""
    request = ResponseCreate.model_validate(body)
    if request.store or request.previous_response_id is not None:
        param = "store" if request.store else "previous_response_id"
        raise InvalidRequest(
            f"Responses in a batch cannot be stored or continued. Remove {param!r}; send earlier messages in 'input'.",
            param=param,
        )

    def answer(completion: Body) -> Body:
        made = Answer(request, request.model)
        made.read(completion)
        return made.body()

    return Asked(request.model, request.for_engine(), client.CHAT, answer, response.refusal)


ENDPOINTS: dict[str, Callable[[Body], Asked]] = {
    "/v1/chat/completions": chat,
    "/v1/completions": completion,
    "/v1/responses": respond,
}


def read(endpoint: str, body: Body) -> Asked:
    """Raises InvalidRequest."""
    try:
        asked = ENDPOINTS[endpoint](body)
    except ValidationError as error:
        raise from_schema(error.errors(), tags=ITEM_TYPES) from error
    if asked.body.get("stream"):
        raise InvalidRequest("A batch cannot stream. Remove 'stream'.", param="stream")
    return asked
