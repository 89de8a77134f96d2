from typing import Any

from pydantic import ConfigDict

from fettle.inference.requests.chat import without
from fettle.schemas.strict import Strict

NEUTRAL: dict[str, Any] = {"suffix": None}  # as for chats


class CompletionRequest(Strict):
    """The body of POST /v1/completions: all but the model's name is the engine's to honour or to refuse."""

    model_config = ConfigDict(extra="allow")
    model: str

    def for_engine(self) -> dict[str, Any]:
        return without(NEUTRAL, self.model_dump())
