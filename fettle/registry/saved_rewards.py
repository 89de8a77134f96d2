"""Reward functions that a request names, and that the project has saved: replaced by their source and version.

A job keeps both, so that a later version or a deletion changes nothing for it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.errors import InvalidRequest, brief
from fettle.rewards import FUNCTIONS
from models import RewardSource


def names_of(entries: Sequence[Any]) -> set[str]:
    """Of entries of `reward_functions`: those that may be saved functions."""
    named = [{"name": entry} if isinstance(entry, str) else entry for entry in entries]
    objects = [entry for entry in named if isinstance(entry, Mapping) and "type" not in entry]
    return {
        entry["name"]
        for entry in objects
        if isinstance(entry.get("name"), str) and entry["name"] not in FUNCTIONS and takes_version(entry)
    }


def takes_version(entry: Mapping[str, Any]) -> bool:
    """Not what has its source with it, unless it says which version that is."""
    return entry.get("source") is None or entry.get("version") is not None


async def pinned(session: AsyncSession, project_id: str, entries: Sequence[Any]) -> list[Any]:
    """The same entries, with source and version where a saved function is named. Raises InvalidRequest."""
    mine = select(RewardSource).where(RewardSource.project_id == project_id, RewardSource.name.in_(names_of(entries)))
    kept: dict[str, dict[int, RewardSource]] = {}
    for row in await session.scalars(mine.order_by(RewardSource.version)):
        kept.setdefault(row.name, {})[row.version] = row
    return [pin(entry, kept, f"reward_functions[{place}]") for place, entry in enumerate(entries)]


def pin(entry: Any, kept: Mapping[str, Mapping[int, RewardSource]], where: str) -> Any:
    given = {"name": entry} if isinstance(entry, str) else entry
    if not isinstance(given, Mapping) or "type" in given or not takes_version(given):
        return entry
    name, version = given.get("name"), given.get("version")
    versions = kept.get(name, {}) if isinstance(name, str) else {}
    if version is None:
        return {**given, **fields(versions[max(versions)])} if versions else entry
    if isinstance(version, bool) or not isinstance(version, int) or version not in versions:
        known = ", ".join(map(str, versions)) or "none"
        raise InvalidRequest(
            f"The project has no version {brief(version)} of a reward function {brief(name)}; saved versions: {known}. "
            "Send its 'source' instead of the version, or another version.",
            param=f"{where}.version",
        )
    row = versions[version]
    if given.get("source") not in (None, row.source):
        raise InvalidRequest(
            f"Version {version} of {name!r} has another source than the request. Leave out 'version' or 'source'.",
            param=f"{where}.version",
        )
    return {**given, **fields(row)}


def fields(row: RewardSource) -> dict[str, Any]:
    return {"name": row.name, "source": row.source, "version": row.version}
