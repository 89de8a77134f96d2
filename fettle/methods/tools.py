"""Python tools that a rollout may call: what a request says of each."""

from typing import Annotated, Any

import orjson
from jsonschema import Draft202012Validator, SchemaError
from pydantic import AfterValidator, Field

from fettle.errors import brief
from fettle.schemas.strict import Strict

TOOLS_AT_MOST = 32
SOURCE_BYTES = 256_000  # as of a grader
SCHEMA_BYTES = 64 * 1024  # as in chat


class Tool(Strict):
    """source: Python that defines a function of this name. It is called with the arguments that the model gives."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")
    description: str | None = None
    parameters: dict[str, Any] | None = None
    source: str

    def for_template(self) -> dict[str, Any]:
        """As chat has it."""
        function = self.model_dump(include={"name", "description", "parameters"}, exclude_none=True)
        return {"type": "function", "function": function}


def check(tools: list[Tool]) -> list[Tool]:
    """Raises ValueError. The sources are looked at in isolation, by `fettle.rewards.tools.check`."""
    seen: set[str] = set()
    for tool in tools:
        if tool.name in seen:
            raise ValueError(f"two tools have the name {tool.name!r}; give each its own")
        seen.add(tool.name)
        if (size := len(tool.source.encode())) > SOURCE_BYTES:
            raise ValueError(f"the source of {tool.name!r} has {size:,} bytes; at most {SOURCE_BYTES:,} are allowed")
        if len(orjson.dumps(tool.parameters)) > SCHEMA_BYTES:
            raise ValueError(f"the 'parameters' of {tool.name!r} have more than {SCHEMA_BYTES:,} bytes; shorten them")
        try:
            Draft202012Validator.check_schema(tool.parameters or {})
        except SchemaError as error:
            raise ValueError(
                f"the 'parameters' of {tool.name!r} are not a valid JSON schema: {brief(error.message)}"
            ) from error
    return tools


Tools = Annotated[list[Tool], Field(min_length=1, max_length=TOOLS_AT_MOST), AfterValidator(check)]
