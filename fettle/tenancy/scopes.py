"""Scopes: what a key may do. A key may always see its own project; the rest it needs a word for."""

from collections.abc import Sequence

from fettle.errors import Forbidden, InvalidRequest

ALL, ADMIN = "all", "admin"
SCOPES: dict[str, str] = {
    "files.read": "list datasets and results, download them",
    "files.write": "upload and delete datasets",
    "jobs.read": "see jobs, their events, metrics and checkpoints, download adapters",
    "jobs.write": "create, cancel, pause and resume jobs, run graders",
    "models.read": "list base models and tuned models",
    "models.write": "upload and delete tuned models, let other projects ask them",
    "chat": "send prompts to models, one by one and in batches",
    "comparisons.read": "see comparisons, their responses, votes and results",
    "comparisons.write": "create, export and delete comparisons, invite annotators",
    "comparisons.vote": "vote in the project's comparisons",
    "evals.read": "see evals, their runs and output items",
    "evals.write": "make, change and delete evals, run them (asking a model needs `chat` as well)",
    "webhooks.read": "list webhook endpoints and what was delivered to them",
    "webhooks.write": "make, change, test and delete webhook endpoints, deliver events again",
    "keys.read": "list the project's API keys, and what each has used",
    "keys.write": "make, rotate and revoke the project's API keys",
    ALL: "everything above, in the key's own project",
    ADMIN: "make projects, set quotas, add base models, and reach the API keys of every project",
}


def missing(held: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Those of `wanted` that `held` does not cover."""
    covered = set(SCOPES) - {ADMIN} if ALL in held else set()
    return [scope for scope in wanted if scope not in covered | set(held)]


def need(held: Sequence[str], scope: str) -> None:
    """Raises Forbidden."""
    if missing(held, [scope]):
        raise Forbidden(
            f"This API key lacks the scope {scope!r} (it has: {', '.join(held)}). Use a key with this scope, or "
            "create one "
            f"with `fettle keys create NAME --scope {scope}`."
        )


def checked(wanted: Sequence[str]) -> list[str]:
    """The same scopes, each once. Raises InvalidRequest for one that does not exist, and for none at all."""
    for scope in wanted:
        if scope not in SCOPES:
            raise InvalidRequest(
                f"The scope {scope!r} does not exist. Choose from: {', '.join(SCOPES)}.", param="scopes"
            )
    if not wanted:
        raise InvalidRequest(f"An API key needs at least one scope. Choose from: {', '.join(SCOPES)}.", param="scopes")
    return list(dict.fromkeys(wanted))
