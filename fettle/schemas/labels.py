"""Metadata of a client's own, as OpenAI's objects carry it."""

from typing import Annotated

from pydantic import Field, StringConstraints

LABELS_AT_MOST = 16  # of anything, and so of a filter

Label = Annotated[str, StringConstraints(max_length=512)]
LabelName = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Labels = Annotated[dict[LabelName, Label], Field(max_length=LABELS_AT_MOST)]
