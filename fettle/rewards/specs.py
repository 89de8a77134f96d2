"""What a grader must be: OpenAI's types, and our own functions. `check` is the only door for requests."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    Discriminator,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from fettle.errors import InvalidRequest, brief, from_schema
from fettle.rewards import templates
from fettle.rewards.formula import BadFormula, Formula
from fettle.rewards.functions import FUNCTIONS
from fettle.rewards.judges import check_range
from fettle.rewards.sandbox import SOURCE_AT_MOST
from fettle.schemas.strict import Strict

Name = Annotated[str, Field(min_length=1, max_length=200)]
Template = Annotated[str, AfterValidator(templates.check)]
GRADERS_AT_MOST = 32
NEEDS_DATA = {
    "meteor": "'meteor' needs WordNet, which Fettle does not have: use gleu or rouge_l",
    "cosine": "'cosine' needs an embedding model, which Fettle does not have: use fuzzy_match or rouge_l",
}


class StringCheck(Strict):
    type: Literal["string_check"]
    name: Name
    operation: Literal["eq", "ne", "neq", "like", "ilike"]
    input: Template
    reference: Template


class TextSimilarity(Strict):
    type: Literal["text_similarity"]
    name: Name
    input: Template
    reference: Template
    evaluation_metric: Literal[
        "fuzzy_match",
        "bleu",
        "gleu",
        "meteor",
        "cosine",
        "rouge_1",
        "rouge_2",
        "rouge_3",
        "rouge_4",
        "rouge_5",
        "rouge_l",
    ]

    @model_validator(mode="after")
    def its_data_is_here(self) -> "TextSimilarity":
        if self.evaluation_metric in NEEDS_DATA:
            raise ValueError(NEEDS_DATA[self.evaluation_metric])
        return self


class Python(Strict):
    """`grade(sample, item)` or `reward(prompt, completion, example)`; the standard library only."""

    type: Literal["python"]
    name: Name
    source: str
    version: Annotated[int, Field(ge=1)] | None = None  # of the project's saved function whose source it is
    image_tag: Annotated[str, Field(max_length=100)] | None = None  # changes nothing, and a job's events say so

    @model_validator(mode="after")
    def not_too_long(self) -> "Python":
        size = len(self.source.encode())
        if size > SOURCE_AT_MOST:
            raise ValueError(f"the source has {size:,} bytes; at most {SOURCE_AT_MOST:,} are allowed")
        return self


class Content(Strict):
    type: Literal["input_text", "output_text"]
    text: Template


class Message(Strict):
    type: Literal["message"] | None = None
    role: Literal["system", "developer", "user", "assistant"]
    content: Template | Content | list[Template | Content]


class SamplingParams(Strict):
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = None
    max_completions_tokens: int | None = Field(None, ge=1)


class ScoreModel(Strict):
    type: Literal["score_model"]
    name: Name
    model: str
    input: list[Message] = Field(min_length=1)
    range: list[float] = Field([0.0, 1.0], min_length=2, max_length=2)
    sampling_params: SamplingParams | None = None

    @model_validator(mode="after")
    def range_rises(self) -> "ScoreModel":
        check_range(self.range)
        return self


class LabelModel(Strict):
    type: Literal["label_model"]
    name: Name
    model: str
    input: list[Message] = Field(min_length=1)
    labels: list[str] = Field(min_length=2)
    passing_labels: list[str] = Field(min_length=1)
    sampling_params: SamplingParams | None = None

    @model_validator(mode="after")
    def passing_ones_are_labels(self) -> "LabelModel":
        if unknown := set(self.passing_labels) - set(self.labels):
            raise ValueError(f"{sorted(unknown)[0]!r} of 'passing_labels' is not among 'labels'")
        return self


class Function(Strict):
    """One of GET /v1/reward_functions, with its parameters."""

    type: Literal["function"]
    name: Name
    function: str
    parameters: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def parameters_fit(self) -> "Function":
        if self.function not in FUNCTIONS:
            raise ValueError(f"there is no reward function {self.function!r}; there are: {', '.join(FUNCTIONS)}")
        try:
            checked = FUNCTIONS[self.function].parameters.model_validate(self.parameters)
        except ValidationError as error:
            raise ValueError(
                f"the reward function {self.function!r}: {from_schema(error.errors(), within=('parameters',)).message}"
            ) from error
        self.parameters = checked.model_dump(mode="json")
        return self


Single = StringCheck | TextSimilarity | Python | ScoreModel | LabelModel | Function
Part = Annotated[Single, Discriminator("type")]


def named(graders: object) -> object:
    """OpenAI's reference has one grader here, its guide a dict of them by name, where each may leave its own out."""
    if not isinstance(graders, Mapping):
        return graders
    if isinstance(graders.get("type"), str):
        return {str(graders.get("name") or "grader"): graders}
    return {
        name: {"name": name, **given(grader)} if isinstance(grader, Mapping) else grader
        for name, grader in graders.items()
    }


def given(grader: Mapping[str, Any]) -> dict[str, Any]:
    """null: left out."""
    return {name: value for name, value in grader.items() if value is not None}


class Multi(Strict):
    type: Literal["multi"]
    name: Name = "multi"
    graders: dict[str, Part] = Field(min_length=1, max_length=GRADERS_AT_MOST)
    calculate_output: str

    @model_validator(mode="before")
    @classmethod
    def both_shapes(cls, value: Any) -> Any:
        return {**value, "graders": named(value.get("graders"))} if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def formula_is_arithmetic(self) -> "Multi":
        try:
            Formula(self.calculate_output, set(self.graders))
        except BadFormula as error:
            raise ValueError(f"'calculate_output' {self.calculate_output!r}: {error}") from error
        return self


AnyGrader = Annotated[Single | Multi, Discriminator("type")]
ADAPTER: TypeAdapter[Single | Multi] = TypeAdapter(AnyGrader)


class Weighted(BaseModel):
    """A grader and how much its value counts."""

    name: str
    weight: float
    grader: AnyGrader


def check(
    *, grader: Any = None, reward_functions: Sequence[Any] | None = None, within: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """The graders of a request as they are stored and run: [{name, weight, grader}], every default filled in.

    grader: one of OpenAI's. reward_functions: names, {name, weight, parameters}, {name, source, weight}, or OpenAI's
    graders with a weight. within: where the two stand in the body. Raises InvalidRequest.
    """
    if (grader is None) == (reward_functions is None):
        raise InvalidRequest(
            "Give either 'grader' (one of OpenAI's graders) or 'reward_functions' (a list).",
            code="missing_required_parameter" if grader is None else None,
            param=".".join((*within, "grader")),
        )
    if grader is not None:
        one = checked(grader, (*within, "grader"))
        return [Weighted(name=one.name, weight=1.0, grader=one).model_dump(exclude_none=True)]
    if not isinstance(reward_functions, Sequence) or isinstance(reward_functions, str):
        raise InvalidRequest("'reward_functions' must be a list.", param=".".join((*within, "reward_functions")))
    if not 1 <= len(reward_functions) <= GRADERS_AT_MOST:
        raise InvalidRequest(
            f"'reward_functions' has {len(reward_functions)} entries: give 1 to {GRADERS_AT_MOST}.",
            param=".".join((*within, "reward_functions")),
        )
    found: list[dict[str, Any]] = []
    for index, entry in enumerate(reward_functions):
        where = (*within, f"reward_functions[{index}]")
        weight, spelled = as_grader(entry, where)
        one = checked(spelled, where)
        if one.name in {other["name"] for other in found}:
            raise InvalidRequest(
                f"Two reward functions are called {one.name!r}: give one a 'label'.", param=".".join(where)
            )
        found.append(Weighted(name=one.name, weight=weight, grader=one).model_dump(exclude_none=True))
    return found


def as_grader(entry: Any, where: tuple[str, ...]) -> tuple[float, Any]:
    """(weight, grader) of one entry of `reward_functions`. Raises InvalidRequest."""
    if isinstance(entry, str):
        return 1.0, {"type": "function", "name": entry, "function": entry}
    if not isinstance(entry, Mapping):
        raise InvalidRequest("A reward function is a name or an object with a name.", param=".".join(where))
    rest = given(entry)
    weight = rest.pop("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not -1e6 < weight < 1e6:
        raise InvalidRequest(
            f"Invalid value for 'weight': {brief(weight)}. Use a number.", param=".".join((*where, "weight"))
        )
    if "type" in rest:
        return float(weight), rest
    if "source" in rest:
        return float(weight), {"type": "python", "name": "reward", **rest}
    name, label = rest.pop("name", None), rest.pop("label", None)
    return float(weight), {"type": "function", "name": label or name, "function": name, **rest}


def checked(grader: Any, where: tuple[str, ...]) -> Single | Multi:
    """One grader in its own class. Raises InvalidRequest."""
    try:
        return ADAPTER.validate_python(grader)
    except ValidationError as error:
        raise from_schema(error.errors(), within=where, tags=TAGS) from error


TAGS = frozenset({"string_check", "text_similarity", "python", "score_model", "label_model", "function", "multi"})
