"""The models that graders ask, as the engine knows them."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from fettle import rewards
from fettle.errors import InvalidRequest, NotFound
from fettle.inference import client
from fettle.inference.client import Servable
from fettle.registry.catalog import Catalog


async def find(
    session: AsyncSession,
    project_id: str,
    graders: list[dict[str, Any]],
    models: Catalog,
    aliases: Mapping[str, str],
    param: str = "model",
) -> dict[str, Servable]:
    """By the names that the graders have for them; only what the project itself may ask.

    param: where the graders stand in the request. Raises NotFound, InvalidRequest for a model of the wrong kind.
    """
    found: dict[str, Servable] = {}
    for name, kind in sorted(rewards.models_of(graders)):
        find = client.find_reward_model if kind == "reward_model" else client.find
        try:
            found[name] = await find(session, project_id, aliases.get(name, name), models)
        except (NotFound, InvalidRequest) as error:
            error.param = param
            raise
    return found
