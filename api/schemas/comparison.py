from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from api.schemas.job import AnyMethod, JobCreate, whole
from fettle.comparisons import annotators, items
from fettle.comparisons.checks import GOLD_AT_MOST
from fettle.comparisons.imports.store import Imported
from fettle.comparisons.items import Task
from fettle.comparisons.prompts import AT_MOST, CHARACTERS_AT_MOST, RESPONSES_AT_MOST
from fettle.comparisons.votes import CHOICES
from fettle.schemas.strict import Strict
from models import Comparison, ComparisonAnnotator, ComparisonItem, ComparisonVote

DAY = 24 * 3600
LINES = r"^[^\x00]*$"  # PostgreSQL's text cannot hold U+0000

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=CHARACTERS_AT_MOST, pattern=LINES)]
Id = Annotated[str, StringConstraints(max_length=100)]


class PromptMessage(Strict):
    role: Literal["system", "developer", "user", "assistant"]
    content: Text


class Sampling(Strict):
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_completion_tokens: Annotated[int, Field(ge=1, le=8192)] = 256


Prompt = Text | Annotated[list[PromptMessage], Field(min_length=1, max_length=100)]


class Prompts(Strict):
    """prompts: a file's id, or the prompts themselves: texts or messages."""

    prompts: Id | Annotated[list[Prompt], Field(max_length=AT_MOST)]
    limit: Annotated[int, Field(ge=1, le=AT_MOST)] | None = None  # of a file's prompts


class PromptsAdd(Prompts):
    """The body of POST /v1/comparisons/{id}/prompts."""

    prompts: Id | Annotated[list[Prompt], Field(min_length=1, max_length=AT_MOST)]


class Design(Strict):
    """How a comparison is made, whatever its models and prompts are."""

    n: Annotated[int, Field(ge=2, le=RESPONSES_AT_MOST)] | None = None
    mode: Literal["rank", "pick"] = "rank"
    sampling: Sampling = Sampling()
    instructions: Annotated[str, StringConstraints(max_length=20_000, pattern=LINES)] = ""
    votes_per_item: Annotated[int, Field(ge=1, le=100)] = 1
    overlap: Literal["full", "none", "controlled"] = "controlled"
    check_every: Annotated[int, Field(ge=2, le=100)] = 10
    repeats: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None


class ComparisonCreate(Prompts, Design):
    """The body of POST /v1/comparisons. Without models and prompts it takes votes that are imported."""

    name: Name
    models: Annotated[list[Id], Field(max_length=RESPONSES_AT_MOST)]


class JobComparison(Design):
    """The body of POST /v1/fine_tuning/jobs/{id}/comparison."""

    compare: Literal["base_and_tuned", "checkpoints"] = "base_and_tuned"
    name: Name | None = None
    prompts: Id | Annotated[list[Prompt], Field(min_length=1, max_length=AT_MOST)] | None = None  # the validation file
    limit: Annotated[int, Field(ge=1, le=AT_MOST)] | None = None
    mode: Literal["rank", "pick"] = "pick"


class Regenerate(Strict):
    delete_votes: bool = False


class GoldItem(Strict):
    """ranked: the responses, best first; a list of several is a tie."""

    prompt: Prompt
    ranked: Annotated[
        list[Text | Annotated[list[Text], Field(min_length=1, max_length=RESPONSES_AT_MOST)]],
        Field(min_length=2, max_length=RESPONSES_AT_MOST),
    ]


class GoldCreate(Strict):
    items: Annotated[list[GoldItem], Field(min_length=1, max_length=GOLD_AT_MOST)]


class VoteCreate(Strict):
    """One of ranking, pick, tie, both_bad and skip."""

    item_id: Id
    ranking: Annotated[list[Id | list[Id]], Field(min_length=1, max_length=RESPONSES_AT_MOST)] | None = None
    pick: Id | None = None
    tie: Literal[True] | None = None
    both_bad: Literal[True] | None = None
    skip: Literal[True] | None = None
    note: Annotated[str, StringConstraints(max_length=2000, pattern=LINES)] | None = None
    seconds: Annotated[float, Field(ge=0, le=DAY)] | None = None
    vote_id: Id | None = None  # of `next`; tells the vote on a repeated item from the first one


class Release(Strict):
    """leases: each item's `lease` by its `vote_id`, as `next` gave them."""

    leases: Annotated[dict[Id, Annotated[str, StringConstraints(max_length=64)]], Field(max_length=items.OPEN_AT_MOST)]


class Invitation(Strict):
    name: Name
    expires_in_days: Annotated[float, Field(gt=0, le=90)] = 7.0


class ImportForm(Strict):
    """The text fields of POST /v1/comparisons/{id}/import. prompt_key: the field with the prompt, in other formats."""

    annotator: Name
    format: Literal["auto", "fettle", "argilla", "label_studio"] = "auto"
    prompt_key: Name | None = None


class ExportCreate(Strict):
    rows: Literal["rankings", "pairs"] | None = None  # by the mode
    rule: Literal["majority", "every_vote"] = "majority"


class TrainCreate(JobCreate):
    """A job's body without its training file, and the rule by which the votes become one."""

    training_file: None = None  # type: ignore[assignment]  # the one field of its parent that it does not take
    method: AnyMethod = AnyMethod(type="reward_model")
    rule: Literal["majority", "every_vote"] = "majority"


def comparison_object(comparison: Comparison, progress: Mapping[str, Any]) -> dict[str, Any]:
    counts = {name: value for name, value in progress.items() if name not in ("waiting", "annotators")}
    return {
        "id": comparison.id,
        "object": "comparison",
        "created_at": int(comparison.created_at),
        "name": comparison.name,
        "status": str(comparison.status),
        "mode": comparison.mode,
        "models": comparison.models,
        "n": comparison.n,
        "sampling": comparison.sampling,
        "instructions": comparison.instructions,
        "votes_per_item": comparison.votes_per_item,
        "overlap": comparison.overlap,
        "check_every": comparison.check_every,
        "repeats": comparison.repeats,
        "seed": comparison.seed,
        "fine_tuning_job_id": comparison.job_id,
        "progress": counts,
        "annotators": progress["annotators"],
        "waiting": progress["waiting"],
        "error": comparison.error,
    }


def item_object(item: ComparisonItem) -> dict[str, Any]:
    """With the models, for whoever made the comparison."""
    return {
        "id": item.id,
        "object": "comparison.item",
        "number": item.number,
        "source": item.source,
        "prompt": item.prompt,
        "responses": item.responses or [],
        "blind": not any(response["names_model"] for response in item.responses or []),
        "gold": item.gold["levels"] if item.gold else None,
        "ready": item.ready,
        "error": item.error,
    }


def next_object(
    comparison: Comparison, annotator: ComparisonAnnotator, tasks: Sequence[Task], done: Mapping[str, int]
) -> dict[str, Any]:
    """What a page needs to show the item and to fetch the ones after it: no model is named."""
    return {
        "object": "comparison.next",
        "comparison_id": comparison.id,
        "name": comparison.name,
        "mode": comparison.mode,
        "instructions": comparison.instructions,
        "choices": list(CHOICES[comparison.mode]),
        "annotator": {"id": annotator.id, "name": annotator.name, "expires_at": whole(annotator.expires_at)},
        "progress": dict(done),
        "item": blind(tasks[0]) if tasks else None,
        "upcoming": [blind(task) for task in tasks[1:]],
        "message": None if tasks else items.why_none(comparison, dict(done)),
    }


def blind(task: Task) -> dict[str, Any]:
    texts = {response["id"]: response["text"] for response in task.item.responses or []}
    return {
        "id": task.item.id,
        "vote_id": task.vote.id,
        "prompt": task.item.prompt,
        "responses": [{"id": id, "text": texts[id]} for id in task.vote.shown],
        "lease": items.lease_of(task.vote),
        "lease_expires_at": whole(task.vote.lease_until),
    }


def own_vote_object(vote: ComparisonVote) -> dict[str, Any]:
    """For the annotator, who does not learn which items are repeated."""
    return {
        "id": vote.id,
        "object": "comparison.vote",
        "created_at": int(vote.created_at),
        "item_id": vote.item_id,
        "annotator_id": vote.annotator_id,
        "choice": vote.choice,
        "ranking": vote.order["levels"] if vote.order else None,
        "shown": vote.shown,
        "note": vote.note,
        "seconds": vote.seconds,
        "voted_at": whole(vote.voted_at),
        "exported": vote.exported_at is not None,
    }


def vote_object(vote: ComparisonVote) -> dict[str, Any]:
    return {**own_vote_object(vote), "repeat": vote.repeat}


def annotator_object(row: ComparisonAnnotator, token: str | None = None) -> dict[str, Any]:
    return {
        "id": row.id,
        "object": "comparison.annotator",
        "created_at": int(row.created_at),
        "comparison_id": row.comparison_id,
        "name": row.name,
        "kind": annotators.kind(row),
        "status": annotators.state(row),
        "expires_at": whole(row.expires_at),
        **({} if token is None else {"token": token, "link": f"/vote/{row.comparison_id}#{token}"}),
    }


def import_object(comparison_id: str, done: Imported) -> dict[str, Any]:
    return {
        "object": "comparison.import",
        "comparison_id": comparison_id,
        "format": done.format,
        "votes": done.votes,
        "new_items": done.new_items,
        "matched_items": done.matched_items,
        "annotators": [{"id": row.id, "name": row.name} for row in done.annotators.values()],
        "left_out": {"count": done.left_out_count, "data": done.left_out},
    }
