"""Saved reward functions in requests, found before the rewards are checked."""

from typing import Any

from api.deps import AppState
from fettle import methods
from fettle.registry import saved_rewards


async def in_judges(services: AppState, project_id: str, judges: dict[str, Any]) -> dict[str, Any]:
    """judges: as `rewards.grader_fields.check` takes them. Raises InvalidRequest."""
    entries = judges.get("reward_functions")
    if not isinstance(entries, list) or not saved_rewards.names_of(entries):
        return judges
    async with services.db.snapshot() as session:
        return judges | {"reward_functions": await saved_rewards.pinned(session, project_id, entries)}


async def in_method(services: AppState, project_id: str, method: methods.Method) -> methods.Method:
    """Raises InvalidRequest."""
    judges = methods.spec_of(method).graders(method) or {}
    found = await in_judges(services, project_id, judges)
    if found is judges:
        return method
    settings = getattr(method, method.type)
    return method.model_copy(update={method.type: settings.model_copy(update=found)})
