"""Models as graders: asks the engine, which loads adapters as for anybody else; many questions at a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import httpx
import orjson

from fettle.errors import FettleError, no_answer
from fettle.inference.client import CHAT, POOLING, Engine, Servable
from fettle.inference.routing import Route
from fettle.rewards import JudgeUnavailable
from fettle.rewards.judges import TOKENS, Question
from fettle.rewards.samples import Messages
from fettle.settings import Settings

AT_ONCE = 16  # requests of one scorer; the engine answers other people too
CONVERSATIONS_AT_ONCE = 32  # in one request to a reward model
PAUSE, LONGEST_PAUSE = 0.25, 5.0  # seconds between two tries while the engine is unavailable
LATER = {408, 429, 502, 503, 504}  # the engine, or what stands before it, is full or just starting

Body = dict[str, Any]
Item = TypeVar("Item")
Answer = TypeVar("Answer")


class EngineUnavailable(Exception):
    """The engine does not answer now, and may in a moment."""


class EngineJudge:
    """servables: the models that the grader's project may ask, by the name that the grader has for them.

    patience: seconds for which an engine may be silent before questions are given up; 0: each is asked once.
    """

    def __init__(
        self, settings: Settings, servables: Mapping[str, Servable], patience: float = 0.0, routes: Sequence[Route] = ()
    ) -> None:
        self.servables = servables
        self.patience = patience
        self.last_response = 0.0  # when the engine answered last
        self.question_count = self.answer_count = 0  # of the batch that is being judged
        self.runner = asyncio.Runner()
        self.engine = Engine(settings, routes=routes)

    def ask(self, questions: Sequence[Question]) -> list[str | JudgeUnavailable]:
        return self.runner.run(self._all(self._answer, questions))

    def score(self, model: str, conversations: Sequence[Messages]) -> list[float | JudgeUnavailable]:
        parts = [
            conversations[start : start + CONVERSATIONS_AT_ONCE]
            for start in range(0, len(conversations), CONVERSATIONS_AT_ONCE)
        ]

        async def scores(part: Sequence[Messages]) -> list[float | JudgeUnavailable]:
            return await self._scores(model, part)

        found = self.runner.run(self._all(scores, parts))
        return [
            word
            for part, words in zip(parts, found, strict=True)
            for word in ([words] * len(part) if isinstance(words, JudgeUnavailable) else words)
        ]

    async def _all(
        self, ask: Callable[[Item], Awaitable[Answer]], asked: Sequence[Item]
    ) -> list[Answer | JudgeUnavailable]:
        self.last_response = time.monotonic()
        self.question_count, self.answer_count = len(asked), 0
        room = asyncio.Semaphore(AT_ONCE)

        async def one(what: Item) -> Answer | JudgeUnavailable:
            async with room:
                try:
                    return await ask(what)
                except JudgeUnavailable as unavailable:
                    return unavailable
                finally:
                    self.answer_count += 1

        return await asyncio.gather(*map(one, asked))

    async def _answer(self, question: Question) -> str:
        """Raises JudgeUnavailable."""
        sampling = question.sampling
        request = {
            "messages": list(question.messages),
            "response_format": {"type": "json_schema", "json_schema": {"name": "grade", "schema": question.schema}},
            "max_completion_tokens": sampling.get("max_completions_tokens", TOKENS),
            **{name: sampling[name] for name in ("temperature", "top_p", "seed") if name in sampling},
        }
        status, body = await self._ask_until_available(question.model, request, CHAT)
        if code_of(body) == "context_length_exceeded" and "max_completions_tokens" not in sampling:
            del request["max_completion_tokens"]  # then the engine gives what room there is
            status, body = await self._ask_until_available(question.model, request, CHAT)
        try:
            if status != 200:
                raise JudgeUnavailable(str(body["error"]["message"]))
            choice = body["choices"][0]
            if choice["message"].get("refusal"):
                raise JudgeUnavailable(str(choice["message"]["refusal"]), "model_grader_refusal_error")
            if choice.get("finish_reason") == "length":
                why = f"The response of {question.model!r} was cut off. Raise sampling_params.max_completions_tokens."
                raise JudgeUnavailable(why, "model_grader_parse_error")
            return str(choice["message"]["content"])
        except (LookupError, TypeError, AttributeError) as error:
            raise JudgeUnavailable(f"The engine's response (status {status}) does not follow OpenAI's API.") from error

    async def _scores(self, model: str, conversations: Sequence[Messages]) -> list[float | JudgeUnavailable]:
        """Raises JudgeUnavailable."""
        status, body = await self._ask_until_available(model, {"conversations": [*map(list, conversations)]}, POOLING)
        try:
            if status != 200:
                raise JudgeUnavailable(str(body["error"]["message"]))
            return [
                JudgeUnavailable(str(entry["error"]["message"])) if "error" in entry else float(entry["data"][0])
                for entry in body["data"]
            ]
        except (LookupError, TypeError, ValueError) as error:
            raise JudgeUnavailable(f"The engine's response (status {status}) contains no scores.") from error

    async def _ask_until_available(self, model: str, request: Body, path: str) -> tuple[int, Body]:
        """Asks until `patience` seconds have passed since the last response. Raises JudgeUnavailable."""
        if model not in self.servables:
            raise JudgeUnavailable(f"The model {model!r} does not exist.")
        pause = PAUSE
        while True:
            try:
                response = await self._post(self.servables[model], request, path)
            except EngineUnavailable as unavailable:
                if time.monotonic() + pause - self.last_response > self.patience:
                    raise JudgeUnavailable(str(unavailable)) from unavailable
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                self.last_response = time.monotonic()
                return response

    async def _post(self, servable: Servable, request: Body, path: str) -> tuple[int, Body]:
        """Status and body. Raises EngineUnavailable, JudgeUnavailable."""
        try:
            answer = await self.engine.generate(servable, request, path)
        except FettleError as error:
            raise (EngineUnavailable if error.retry else JudgeUnavailable)(error.message) from error
        try:
            content = b"".join([part async for part in answer.body])
        except httpx.TransportError as error:
            raise EngineUnavailable(f"The engine's response was incomplete ({no_answer(error)}).") from error
        if answer.status in LATER:
            raise EngineUnavailable(
                f"The engine returned status {answer.status}: {content[:200].decode(errors='replace')}"
            )
        try:
            body: Body = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise JudgeUnavailable(f"The engine's response (status {answer.status}) is not JSON.") from error
        return answer.status, body

    def close(self) -> None:
        self.runner.run(self.engine.close())
        self.runner.close()


def code_of(body: Any) -> Any:
    error = body.get("error") if isinstance(body, dict) else None
    return error.get("code") if isinstance(error, dict) else None
