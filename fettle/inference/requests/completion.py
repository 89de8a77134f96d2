from typing import Any

from pydantic import BaseModel, ConfigDict

from fettle.inference.requests.chat import without

NEUTRAL: dict[str, Any] = {"best_of": 1, "echo": False, "suffix": None}  # as for chats


class CompletionRequest(BaseModel):
    """The body of POST /v1/completions: all but the model's name is the engine's to honour or to refuse."""

    model_config = ConfigDict(extra="allow", strict=True)
    model: str

    def for_engine(self) -> dict[str, Any]:
        return without(NEUTRAL, self.model_dump())
