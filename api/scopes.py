"""Which scope each route needs. A route that is missing here answers nobody."""

from fastapi import Request

from fettle.tenancy import scopes

NONE = "any key"  # a key may always see its own project

ROUTES: dict[str, str] = {
    "POST /v1/files": "files.write",
    "GET /v1/files": "files.read",
    "GET /v1/files/{file_id}": "files.read",
    "GET /v1/files/{file_id}/preview": "files.read",
    "GET /v1/files/{file_id}/content": "files.read",
    "DELETE /v1/files/{file_id}": "files.write",
    "POST /v1/uploads": "files.write",
    "GET /v1/uploads/{upload_id}": "files.read",
    "POST /v1/uploads/{upload_id}/parts": "files.write",
    "POST /v1/uploads/{upload_id}/complete": "files.write",
    "POST /v1/uploads/{upload_id}/cancel": "files.write",
    "POST /v1/fine_tuning/jobs": "jobs.write",
    "GET /v1/fine_tuning/jobs": "jobs.read",
    "GET /v1/fine_tuning/jobs/{job_id}": "jobs.read",
    "POST /v1/fine_tuning/jobs/{job_id}/cancel": "jobs.write",
    "POST /v1/fine_tuning/jobs/{job_id}/pause": "jobs.write",
    "POST /v1/fine_tuning/jobs/{job_id}/resume": "jobs.write",
    "GET /v1/fine_tuning/jobs/{job_id}/events": "jobs.read",
    "GET /v1/fine_tuning/jobs/{job_id}/checkpoints": "jobs.read",
    "GET /v1/fine_tuning/jobs/{job_id}/metrics": "jobs.read",
    "GET /v1/fine_tuning/jobs/{job_id}/adapter": "jobs.read",
    "GET /v1/fine_tuning/jobs/{job_id}/rollouts": "jobs.read",
    "GET /v1/fine_tuning/jobs/{job_id}/rollouts/export": "jobs.read",
    "GET /v1/fine_tuning/jobs/{job_id}/rewards": "jobs.read",
    "PATCH /v1/fine_tuning/jobs/{job_id}/rewards": "jobs.write",
    "GET /v1/fine_tuning/jobs/{job_id}/evaluation": "jobs.read",
    "GET /v1/fine_tuning/jobs/{job_id}/proof": "jobs.read",
    "GET /v1/fine_tuning/jobs/{job_id}/report": "jobs.read",
    "GET /v1/reward_functions": "jobs.read",
    "GET /v1/workers": "jobs.read",
    "POST /v1/fine_tuning/dry_runs": "jobs.write",
    "POST /v1/fine_tuning/advise": "jobs.write",
    "POST /v1/fine_tuning/estimate": "jobs.write",
    "POST /v1/fine_tuning/alpha/graders/run": "jobs.write",
    "POST /v1/fine_tuning/alpha/graders/validate": "jobs.write",
    "POST /v1/fine_tuning/jobs/{job_id}/comparison": "comparisons.write",
    "POST /v1/comparisons": "comparisons.write",
    "GET /v1/comparisons": "comparisons.read",
    "GET /v1/comparisons/{comparison_id}": "comparisons.read",
    "DELETE /v1/comparisons/{comparison_id}": "comparisons.write",
    "GET /v1/comparisons/{comparison_id}/items": "comparisons.read",
    "POST /v1/comparisons/{comparison_id}/items/{item_id}/regenerate": "comparisons.write",
    "POST /v1/comparisons/{comparison_id}/prompts": "comparisons.write",
    "POST /v1/comparisons/{comparison_id}/gold": "comparisons.write",
    "DELETE /v1/comparisons/{comparison_id}/gold/{item_id}": "comparisons.write",
    "GET /v1/comparisons/{comparison_id}/next": "comparisons.vote",
    "POST /v1/comparisons/{comparison_id}/votes": "comparisons.vote",
    "GET /v1/comparisons/{comparison_id}/votes": "comparisons.read",
    "GET /v1/comparisons/{comparison_id}/votes/mine": "comparisons.vote",
    "GET /v1/comparisons/{comparison_id}/votes/{vote_id}": "comparisons.vote",
    "DELETE /v1/comparisons/{comparison_id}/votes/{vote_id}": "comparisons.vote",
    "GET /v1/comparisons/{comparison_id}/results": "comparisons.read",
    "POST /v1/comparisons/{comparison_id}/annotators": "comparisons.write",
    "GET /v1/comparisons/{comparison_id}/annotators": "comparisons.read",
    "DELETE /v1/comparisons/{comparison_id}/annotators/{annotator_id}": "comparisons.write",
    "DELETE /v1/comparisons/{comparison_id}/annotators/{annotator_id}/votes": "comparisons.write",
    "POST /v1/comparisons/{comparison_id}/import": "comparisons.write",
    "POST /v1/comparisons/{comparison_id}/export": "comparisons.write",
    "POST /v1/comparisons/{comparison_id}/train": "comparisons.write",
    "GET /v1/models": "models.read",
    "POST /v1/models": "admin",
    "GET /v1/models/{model}": "models.read",
    "DELETE /v1/models/{model}": "models.write",
    "POST /v1/chat/completions": "chat",
    "POST /v1/completions": "chat",
    "POST /v1/responses": "chat",
    "GET /v1/responses/{response_id}": "chat",
    "DELETE /v1/responses/{response_id}": "chat",
    "GET /v1/responses/{response_id}/input_items": "chat",
    "GET /v1/api_keys": "keys.read",
    "POST /v1/api_keys": "keys.write",
    "GET /v1/api_keys/{key_id}": "keys.read",
    "DELETE /v1/api_keys/{key_id}": "keys.write",
    "POST /v1/api_keys/{key_id}/rotate": "keys.write",
    "GET /v1/audit_logs": "admin",
    "GET /v1/usage": "keys.read",
    "GET /v1/projects": NONE,
    "POST /v1/projects": "admin",
    "GET /v1/projects/{project_id}": NONE,
    "POST /v1/projects/{project_id}": "admin",
}


async def guard(request: Request) -> None:
    """For every route that needs a key. Raises Forbidden."""
    key = getattr(request.state, "api_key", None)
    if key is None:
        return
    needed = ROUTES[f"{request.method} {request.scope['route'].path_format}"]
    if needed != NONE or getattr(request.state, "annotator", None) is not None:
        scopes.need(key.scopes, needed)  # an invitation has one scope, and sees not even its project
