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


async def find(held: Services, project_id: str, name: str) -> Servable:
    """What a model's name or alias means to this project. Raises NotFound."""
    async with held.db.snapshot() as session:
        return await client.find(session, project_id, held.aliases.get(name, name), held.models)


async def ask(held: Services, servable: Servable, body: dict[str, Any], path: str = client.CHAT) -> Answer:
    """The engine's answer, counted. Raises Unavailable."""
    try:
        answer = await held.engine.generate(servable, body, path)
    except Unavailable:
        metrics.generations.labels("unavailable").inc()
        raise
    metrics.generations.labels("answered" if answer.status < 400 else "refused").inc()
    return answer


class Relayed(StreamingResponse):
    """The engine's answer as it comes, or as it is told. A client that leaves before the first byte ends it too."""

    def __init__(
        self, answer: Answer, told: AsyncIterator[bytes] | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(told or answer.body, answer.status, answer.headers if headers is None else headers)
        self.answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self.answer.close()
