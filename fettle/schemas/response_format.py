"""OpenAI's `response_format`: what an answer is bound to."""

from typing import Annotated, Any, Literal

from pydantic import Field

from fettle.schemas.strict import Strict


class SchemaFormat(Strict):
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    schema_: dict[str, Any] = Field(alias="schema")
    description: str | None = None  # OpenAI shows it to the model; here the schema binds, so there is nobody to tell
    strict: bool | None = None  # always so: what the schema does not allow is never written


class TextResponse(Strict):
    type: Literal["text"]


class JsonObjectResponse(Strict):
    type: Literal["json_object"]


class JsonSchemaResponse(Strict):
    type: Literal["json_schema"]
    json_schema: SchemaFormat


ResponseFormat = Annotated[TextResponse | JsonObjectResponse | JsonSchemaResponse, Field(discriminator="type")]


def schema_of(given: TextResponse | JsonObjectResponse | JsonSchemaResponse | None) -> dict[str, Any] | None:
    """The JSON schema of the answers; None for any text."""
    match given:
        case JsonSchemaResponse(json_schema=named):
            return named.schema_
        case JsonObjectResponse():
            return {"type": "object"}
    return None
