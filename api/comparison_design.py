"""What a request for a comparison asks for, checked."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from api.deps import AppState
from api.schemas.comparison import Design
from fettle.comparisons import items
from fettle.comparisons import prompts as limits
from fettle.comparisons.prompts import Messages
from fettle.comparisons.store import Wanted
from fettle.errors import InvalidRequest
from fettle.inference import client
from models import ApiKey


async def wanted(
    session: AsyncSession,
    services: AppState,
    caller: ApiKey,
    design: Design,
    *,
    name: str,
    models: Sequence[str],
    prompts: Sequence[Messages],
    job_id: str | None = None,
) -> Wanted:
    """Raises InvalidRequest, and NotFound for a model that is not there."""
    if bool(models) != bool(prompts):
        missing, present = ("prompts", "models") if models else ("models", "prompts")
        raise InvalidRequest(
            f"The comparison has {present} but no {missing}. Send both, or neither for votes that you import.",
            param=missing,
        )
    n = design.n or max(2 if design.mode == "pick" else 4, len(models))
    if n < len(models):
        raise InvalidRequest(
            f"'n' is {n}, but there are {len(models)} models: each writes at least one response.", param="n"
        )
    if design.overlap == "none" and design.votes_per_item > 1:
        raise InvalidRequest(
            f"With 'overlap': 'none' each item gets one vote, not {design.votes_per_item}. Use 'controlled'.",
            param="votes_per_item",
        )
    limits.check_tokens(len(prompts), n, design.sampling.max_completion_tokens)
    if design.overlap == "controlled" and len(prompts) * design.votes_per_item > items.VOTES_AT_MOST:
        raise InvalidRequest(
            f"{len(prompts):,} items with {design.votes_per_item} votes each need more than {items.VOTES_AT_MOST:,} "
            "votes, which is the limit. Send fewer prompts, or lower 'votes_per_item'.",
            param="votes_per_item",
        )
    servables = [
        await client.find(session, caller.project_id, services.aliases.get(model, model), services.models)
        for model in models
    ]
    return Wanted(
        name=name,
        mode=design.mode,
        models=models,
        servables=servables,
        prompts=prompts,
        n=n,
        sampling=design.sampling.model_dump(),
        instructions=design.instructions,
        overlap=design.overlap,
        votes_per_item=design.votes_per_item,
        seed=design.seed,
        check_every=design.check_every,
        repeats=design.repeats,
        job_id=job_id,
    )
