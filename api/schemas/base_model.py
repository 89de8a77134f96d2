from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from fettle.errors import InvalidRequest
from fettle.registry import families
from fettle.registry.catalog import BaseModelEntry, cached_revision
from fettle.registry.model_files import Facts
from fettle.schemas.strict import Strict

Text = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class BaseModelCreate(Strict):
    """The body of POST /v1/models: a folder on the server, or a hub id of its hub cache.

    revision: a full commit id; unset: the commit that was downloaded last.
    """

    path: Text | None = None
    hub: Annotated[str, StringConstraints(pattern=r"^[\w.-]+(/[\w.-]+)?$", max_length=200)] | None = None
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")] | None = None
    name: Text | None = Field(None, description="Unset: the folder's name")
    license: Text = "unknown"

    def entry(self) -> BaseModelEntry:
        """With numbers that are still to be read from the files. Raises InvalidRequest."""
        if (self.path is None) == (self.hub is None):
            raise InvalidRequest(
                "Give either 'path' (a folder on the server) or 'hub' (an id on the hub).", param="path"
            )
        if self.path is not None and not Path(self.path).is_absolute():
            raise InvalidRequest(f"The path {self.path!r} is not absolute. Write it from '/' on.", param="path")
        revision = self.revision
        if self.hub is not None and revision is None and (revision := cached_revision(self.hub)) is None:
            raise InvalidRequest(
                f"{self.hub!r} has not been downloaded on the server's machine. Run `hf download {self.hub}` there, or "
                "name its folder as 'path'.",
                param="hub",
            )
        path = None if self.path is None else Path(self.path)
        return BaseModelEntry(path=path, hub=self.hub, revision=revision, parameters=1, length=1, license=self.license)


def about(entry: BaseModelEntry, facts: Facts | None, limits: list[str]) -> dict[str, Any]:
    """What a base model is, and what jobs on it cannot have."""
    family = families.named(facts.family if facts else None)
    return {
        "path": None if entry.path is None else str(entry.path),
        "hub": entry.hub,
        "revision": entry.revision,
        "parameters": entry.parameters,
        "length": entry.length,
        "license": entry.license,
        "layers": facts.layers if facts else None,
        "vocabulary": facts.vocabulary if facts else None,
        "architecture": facts.architecture if facts else None,
        "stops": list(facts.stops) if facts else [],
        "family": family.name if family else None,
        "family_template_tested": bool(family and family.template),
        "tool_calls": family.tool_calls if family else None,
        "reasoning": family.reasoning if family else None,
        "note": (family.note or None) if family else None,
        "limits": limits,
    }
