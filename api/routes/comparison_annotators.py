import time
from typing import Any

from fastapi import APIRouter

from api.deps import ProjectId, Services, Snapshot, Transaction
from api.pagination import listing
from api.schemas.comparison import DAY, Invitation, annotator_object
from fettle.comparisons import annotators, store

router = APIRouter(prefix="/v1/comparisons", tags=["comparisons"])


@router.post("/{comparison_id}/annotators")
async def invite(
    comparison_id: str, body: Invitation, project_id: ProjectId, services: Services, session: Transaction
) -> dict[str, Any]:
    """Invite a person to vote. `token` is shown this once; it votes in this comparison and does nothing else."""
    comparison = await store.get(session, project_id, comparison_id, locked=True)
    expires_at = time.time() + body.expires_in_days * DAY
    row, token = await annotators.invite(session, comparison, body.name, services.pepper, expires_at)
    return annotator_object(row, token)


@router.get("/{comparison_id}/annotators")
async def list_annotators(comparison_id: str, project_id: ProjectId, session: Snapshot) -> dict[str, Any]:
    comparison = await store.get(session, project_id, comparison_id)
    return listing(await annotators.everyone(session, comparison), annotator_object, False)


@router.delete("/{comparison_id}/annotators/{annotator_id}")
async def revoke(comparison_id: str, annotator_id: str, project_id: ProjectId, session: Transaction) -> dict[str, Any]:
    """Revoke an invitation: it is useless at once. The votes stay."""
    return annotator_object(await annotators.revoke(session, project_id, comparison_id, annotator_id))


@router.delete("/{comparison_id}/annotators/{annotator_id}/votes")
async def delete_votes(
    comparison_id: str, annotator_id: str, project_id: ProjectId, session: Transaction
) -> dict[str, Any]:
    """Delete all votes of an annotator. `files` names those that were made of some of them, and still exist."""
    count, files = await annotators.delete_votes(session, project_id, comparison_id, annotator_id)
    return {"object": "comparison.votes.deleted", "annotator_id": annotator_id, "deleted": count, "files": files}
