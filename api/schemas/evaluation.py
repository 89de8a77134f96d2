from typing import Annotated, Any, Literal

import orjson
from jsonschema import Draft202012Validator, SchemaError
from pydantic import AfterValidator, Field, TypeAdapter, model_validator

from fettle.errors import InvalidRequest, brief
from fettle.evals.rows import ROWS_AT_MOST, STORED, STORED_MESSAGES
from fettle.inference.requests.response import Text
from fettle.methods.common import ITEMS_AT_MOST
from fettle.schemas.labels import Labels
from fettle.schemas.response_format import ResponseFormat
from fettle.schemas.strict import Strict
from models import Eval, EvalItem, EvalRun

SCHEMA_BYTES = 64 * 1024
CRITERIA_AT_MOST = 32
# Of data sources and their configurations: no names of parameters
SOURCE_TYPES = frozenset({"jsonl", "completions", "responses", "file_content", "file_id", "custom", "logs", STORED})
Name = Annotated[str, Field(max_length=500)]


def is_schema(schema: dict[str, Any]) -> dict[str, Any]:
    if len(orjson.dumps(schema)) > SCHEMA_BYTES:
        raise ValueError(f"the schema has more than {SCHEMA_BYTES:,} bytes; shorten it")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"it is not a valid JSON schema: {brief(error.message)}") from error
    return schema


class CustomConfig(Strict):
    """Rows with a schema of the client's."""

    type: Literal["custom"]
    item_schema: Annotated[dict[str, Any], AfterValidator(is_schema)]
    include_sample_schema: bool = False

    def schema_shown(self) -> dict[str, Any]:
        """Of a row, as OpenAI shows it: `item`, and `sample` where a model is asked."""
        parts: dict[str, Any] = {"item": self.item_schema}
        if self.include_sample_schema:
            parts["sample"] = {"type": "object"}
        return {"type": "object", "properties": parts, "required": list(parts)}


class StoredConfig(Strict):
    """The project's stored chat completions that have this metadata; `stored_completions` is the older name."""

    type: Literal["logs", "stored_completions"]
    metadata: Labels | None = None

    def schema_shown(self) -> dict[str, Any]:
        parts = {"item": {"type": "object"}, "sample": {"type": "object"}}
        return {"type": "object", "properties": parts, "required": list(parts)}


DataSourceConfig = Annotated[CustomConfig | StoredConfig, Field(discriminator="type")]
CONFIG: TypeAdapter[CustomConfig | StoredConfig] = TypeAdapter(DataSourceConfig)


class EvalCreate(Strict):
    """The body of POST /v1/evals. The graders are checked apart, in a process that has an end to its time."""

    name: Name = ""
    data_source_config: DataSourceConfig
    testing_criteria: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=CRITERIA_AT_MOST)]
    metadata: Labels | None = None


class EvalUpdate(Strict):
    name: Name | None = None
    metadata: Labels | None = None


class Part(Strict):
    type: Literal["input_text", "output_text", "text"]
    text: str


class Message(Strict):
    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: str | Part | Annotated[list[str | Part], Field(max_length=ITEMS_AT_MOST)]


class Template(Strict):
    type: Literal["template"]
    template: Annotated[list[Message], Field(min_length=1, max_length=ITEMS_AT_MOST)]


class ItemReference(Strict):
    type: Literal["item_reference"]
    item_reference: str


class FileContent(Strict):
    type: Literal["file_content"]
    content: list[dict[str, Any]]  # the worker looks at the rows


class FileId(Strict):
    type: Literal["file_id"]
    id: str


class StoredAnswers(Strict):
    """Seconds since 1970. limit: the newest so many."""

    metadata: Labels | None = None
    model: str | None = None
    created_after: int | None = None
    created_before: int | None = None
    limit: Annotated[int, Field(ge=1, le=ROWS_AT_MOST)] | None = None


class StoredCompletions(StoredAnswers):
    type: Literal["stored_completions"]


class StoredResponses(StoredAnswers):
    """With the conversations that they continue."""

    type: Literal["responses"]
    instructions_search: Annotated[str, Field(max_length=1_000)] | None = None
    temperature: float | None = None
    top_p: float | None = None


class SamplingParams(Strict):
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: int | None = None
    response_format: ResponseFormat | None = None
    text: Text | None = None
    tools: Annotated[list[dict[str, Any]], Field(max_length=128)] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None

    def for_engine(self) -> dict[str, Any]:
        """reasoning_effort is taken, but open base models have no such setting."""
        asked = self.model_dump(by_alias=True, exclude_none=True, exclude={"text", "reasoning_effort"})
        if self.text and self.text.format and self.text.format.type != "text":
            asked["response_format"] = self.text.format.for_engine()
        return asked


Source = Annotated[FileContent | FileId, Field(discriminator="type")]
AnySource = Annotated[FileContent | FileId | StoredCompletions | StoredResponses, Field(discriminator="type")]
InputMessages = Annotated[Template | ItemReference, Field(discriminator="type")]


class Answered(Strict):
    """Rows that bring the answers along, in `sample.output_text`."""

    type: Literal["jsonl"]
    source: Source


class Sampled(Strict):
    """Rows that a model answers. Stored answers without a model are graded as they are."""

    type: Literal["completions", "responses"]
    source: AnySource
    model: str | None = None
    input_messages: InputMessages | None = None
    sampling_params: SamplingParams | None = None

    @model_validator(mode="after")
    def one_format(self) -> "Sampled":
        asked = self.sampling_params
        if asked and asked.text and asked.response_format:
            raise ValueError("'text.format' and 'response_format' are two names of one thing; send one of them")
        return self

    def messages(self) -> Template | ItemReference:
        """Raises InvalidRequest for what only stored answers may leave out."""
        stored = isinstance(self.source, StoredAnswers)
        if stored and (self.type == "responses") != isinstance(self.source, StoredResponses):
            other = "completions" if self.type == "responses" else "responses"
            raise InvalidRequest(
                f"The source {self.source.type!r} belongs in a data source of the type {other!r}, not {self.type!r}.",
                param="data_source.type",
            )
        for name in ("model", "input_messages"):
            if not stored and getattr(self, name) is None:
                raise InvalidRequest(
                    f"Missing required parameter: 'data_source.{name}'.",
                    code="missing_required_parameter",
                    param=f"data_source.{name}",
                )
        return self.input_messages or ItemReference(type="item_reference", item_reference=STORED_MESSAGES)


class RunCreate(Strict):
    """The body of POST /v1/evals/{eval_id}/runs."""

    name: Name = ""
    data_source: Annotated[Answered | Sampled, Field(discriminator="type")]
    metadata: Labels | None = None


def eval_object(found: Eval) -> dict[str, Any]:
    config = CONFIG.validate_python(found.data_source_config["asked"])
    shown: dict[str, Any] = {"type": config.type, "schema": config.schema_shown()}
    if isinstance(config, StoredConfig):
        shown["metadata"] = config.metadata
    return {
        "id": found.id,
        "object": "eval",
        "name": found.name,
        "created_at": int(found.created_at),
        "data_source_config": shown,
        "testing_criteria": found.testing_criteria,
        "metadata": found.labels,
    }


def run_object(run: EvalRun) -> dict[str, Any]:
    usage = {
        "model_name": run.model,
        "invocation_count": run.passed + run.failed + run.errored,
        "prompt_tokens": run.prompt_tokens,
        "completion_tokens": run.completion_tokens,
        "cached_tokens": run.cached_tokens,
        "total_tokens": run.prompt_tokens + run.completion_tokens,
    }
    return {
        "id": run.id,
        "object": "eval.run",
        "eval_id": run.eval_id,
        "report_url": f"/v1/evals/{run.eval_id}/runs/{run.id}/output_items",
        "status": str(run.status),
        "model": run.model or "",
        "name": run.name,
        "created_at": int(run.created_at),
        "result_counts": {
            "total": run.total,
            "errored": run.errored,
            "failed": run.failed,
            "passed": run.passed,
        },
        "per_model_usage": [usage] if run.prompt_tokens else [],
        "per_testing_criteria_results": [
            {"testing_criteria": name, "passed": passed, "failed": failed}
            for name, (passed, failed) in run.by_criterion.items()
        ],
        "data_source": run.data_source["asked"],
        "error": run.error,
        "metadata": run.labels,
        "waiting": run.wait_reason,  # ours: why it does not go on
    }


def item_object(item: EvalItem, run: EvalRun) -> dict[str, Any]:
    return {
        "id": item.id,
        "object": "eval.run.output_item",
        "created_at": int(item.created_at),
        "run_id": run.id,
        "eval_id": run.eval_id,
        "status": item.status,
        "datasource_item_id": item.number,
        "datasource_item": item.item,
        "results": item.results,
        "sample": item.sample,
    }
