"""An eval of OpenAI's as the body of an eval here."""

from collections.abc import Mapping
from typing import Any

from fettle.importers.bases import Bases
from fettle.importers.graders import Unmapped, mapped
from fettle.schemas.labels import LABELS_AT_MOST

ORIGIN = "openai_eval"


def convert(found: Mapping[str, Any], bases: Bases) -> tuple[dict[str, Any], list[str]]:
    """The body, and what differs in it. Raises Unmapped."""
    notes: list[str] = []
    config = config_of(found.get("data_source_config") or {}, notes)
    criteria = [criterion(each, bases, notes) for each in found.get("testing_criteria") or []]
    own = dict(found.get("metadata") or {})
    if len(own) < LABELS_AT_MOST:
        own[ORIGIN] = str(found["id"])
    name = str(found.get("name") or "")[:500]
    return {"name": name, "data_source_config": config, "testing_criteria": criteria, "metadata": own}, notes


def config_of(source: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    if source.get("type") in ("logs", "stored_completions"):
        notes.append("Its runs read the chat completions that are stored here, not those at OpenAI.")
        return {"type": source["type"], "metadata": source.get("metadata")}
    if source.get("type") != "custom":
        raise Unmapped(
            f"Its rows come from OpenAI's {source.get('type')!r}. Export them to a file, and create an eval on it with "
            "a data source of the type 'custom'."
        )
    parts = (source.get("schema") or {}).get("properties") or {}
    if not isinstance(parts.get("item"), dict):
        raise Unmapped("Its schema has no 'item'.")
    return {"type": "custom", "item_schema": parts["item"], "include_sample_schema": "sample" in parts}


def criterion(given: Mapping[str, Any], bases: Bases, notes: list[str]) -> dict[str, Any]:
    """Without the id that OpenAI adds to it."""
    found: dict[str, Any] = mapped({name: value for name, value in given.items() if name != "id"}, bases, notes)
    return found
