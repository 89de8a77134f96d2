"""Configs of other tools: which there are, and how a file of theirs becomes a job."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fettle.errors import InvalidRequest
from fettle.importers.configs import axolotl, llama_factory, together
from fettle.importers.configs.draft import Draft

CONFIG_BYTES = 256 * 1024


@dataclass(frozen=True)
class Found:
    """body: of the job. handled: keys that Fettle does itself. missing: keys without counterpart, and what to do."""

    body: dict[str, Any]
    handled: dict[str, str]
    missing: dict[str, str]


def convert(tool: str, file: Path, base: str | None, data: str | None, valid: str | None) -> Found:
    """Raises InvalidRequest for what cannot be read."""
    draft = Draft(read(file), base, data, valid)
    if tool == "axolotl":
        body = axolotl.convert(draft)
    elif tool == "llama-factory":
        body = llama_factory.convert(draft, file.parent)
    else:
        body = together.convert(draft)
    return Found(body, draft.handled, draft.missing)


def read(file: Path) -> dict[str, Any]:
    """YAML, of which JSON is a part. Raises InvalidRequest."""
    try:
        if file.stat().st_size > CONFIG_BYTES:
            raise InvalidRequest(f"{file} has more than {CONFIG_BYTES:,} bytes. Is it a config?")
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file} cannot be read: {error}.") from error
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):  # they can grow without end
            raise InvalidRequest(f"{file} has YAML aliases (*name). Write their values out.")
        found = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise InvalidRequest(f"{file} is not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise InvalidRequest(f"{file} does not contain a config: an object with a name for each value.")
    return found
