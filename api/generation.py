"""From a model's name to the engine's answer on its way to the client: chats, responses and completions share it."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.deps import Services
from fettle.errors import Unavailable
from fettle.inference import client
from fettle.inference.client import Answer, Servable
from fettle.observability import metrics


async def find(services: Services, project_id: str, name: str) -> Servable:
    """What a model's name or alias means to this project. Raises NotFound."""
    async with services.db.snapshot() as session:
        return await client.find(session, project_id, services.aliases.get(name, name), services.models)


async def ask(services: Services, servable: Servable, body: dict[str, Any], path: str = client.CHAT) -> Answer:
    """The engine's answer; each request is counted. Raises Unavailable."""
    try:
        answer = await services.engine.generate(servable, body, path)
    except Unavailable:
        metrics.generations.labels("unavailable").inc()
        raise
    metrics.generations.labels("answered" if answer.status < 400 else "refused").inc()
    return answer


class Relay(StreamingResponse):
    """The engine's answer as it comes, or as `events`. A client that leaves before the first byte ends it too."""

    def __init__(
        self, answer: Answer, events: AsyncIterator[bytes] | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(events or answer.body, answer.status, answer.headers if headers is None else headers)
        self.answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self.answer.close()
