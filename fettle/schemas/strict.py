"""The base of every schema that refuses what it does not know, and converts nothing."""

from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, model_validator


class Strict(BaseModel):
    """null stands for a parameter that was left out, at any depth."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def null_is_the_default(cls, value: Any) -> Any:
        """Where the field's type takes null, or the field must be sent, null stays: it says something there."""
        if not isinstance(value, dict) or None not in value.values():
            return value
        defaults = {
            field.alias or name
            for name, field in cls.model_fields.items()
            if not field.is_required() and NoneType not in get_args(field.annotation)
        }
        return {name: each for name, each in value.items() if each is not None or name not in defaults}
