"""Metadata of a client's own, as OpenAI's objects carry it."""

from typing import Annotated

from pydantic import Field, StringConstraints

Label = Annotated[str, StringConstraints(max_length=512)]
LabelName = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Labels = Annotated[dict[LabelName, Label], Field(max_length=16)]
