"""Models as graders: asks the engine, which loads adapters as for anybody else."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import orjson

from fettle.errors import FettleError
from fettle.rewards import JudgeAway
from fettle.serving import Engine, Servable
from fettle.settings import Settings

TOKENS = 1024  # of an answer, unless the grader says otherwise


class EngineJudge:
    """servables: the models that the grader's project may ask, by the name that the grader has for them."""

    def __init__(self, settings: Settings, servables: Mapping[str, Servable]) -> None:
        self.servables = servables
        self.runner = asyncio.Runner()
        self.engine = Engine(settings)

    def ask(
        self, model: str, messages: Sequence[dict[str, Any]], schema: dict[str, Any], sampling: Mapping[str, Any]
    ) -> str:
        """Raises JudgeAway."""
        if model not in self.servables:
            raise JudgeAway(f"the model {model!r} is not there")
        request = {
            "messages": list(messages),
            "response_format": {"type": "json_schema", "json_schema": {"name": "grade", "schema": schema}},
            "max_completion_tokens": sampling.get("max_completions_tokens", TOKENS),
            **{name: sampling[name] for name in ("temperature", "top_p", "seed") if name in sampling},
        }
        try:
            return self.runner.run(self._answer(self.servables[model], request))
        except FettleError as error:
            raise JudgeAway(error.message) from error

    async def _answer(self, servable: Servable, request: dict[str, Any]) -> str:
        answer = await self.engine.generate(servable, request)
        try:
            body = orjson.loads(b"".join([part async for part in answer.body]))
            said = body["choices"][0]["message"]["content"] if answer.status == 200 else body["error"]["message"]
        except (httpx.TransportError, orjson.JSONDecodeError, LookupError, TypeError) as error:
            raise JudgeAway(f"the engine's answer broke off (status {answer.status})") from error
        if answer.status != 200:
            raise JudgeAway(str(said))
        return str(said)

    def close(self) -> None:
        self.runner.run(self.engine.close())
        self.runner.close()
