"""What the methods share: types, LoRA, early stopping, and how `auto` is resolved.

`auto` is resolved when the job is created, from the number of rows, so that a job shows what it will do.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from fettle.errors import InvalidRequest
from fettle.schemas.strict import Strict

Auto = Literal["auto"]
Switch = Annotated[bool, Field(strict=True)]
LayerName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,200}$")]
LayerNames = Annotated[list[LayerName], Field(min_length=1, max_length=64)]
ITEMS_AT_MOST = 500  # of a list in a request: each wrong one is told
Interval = Literal["auto", "epoch"] | Annotated[int, Field(ge=1, lt=2**31)]  # optimizer steps


def no_truth(value: object) -> object:
    """Python's `True == 1` makes one of the allowed numbers of it."""
    if isinstance(value, bool):
        raise ValueError("use a number")
    return value


class Lora(Strict):
    """LoRA (Hu et al. 2021).

    rank 16: enough for the datasets of a few thousand rows that people bring, and below vLLM's default maximum.
    alpha 2 × rank: the common choice; it keeps the update's scale when the rank changes.
    dropout 0: a small dataset is better protected by few epochs and a validation file.
    use_rslora false: with `true` the update is scaled by alpha ÷ √rank in place of alpha ÷ rank (Kalajdzievski 2023),
    which keeps high ranks learning; at alpha 2 × rank and rank 16 that is 4 times as much, so lower the rate as well.
    target_modules "all-linear": every linear layer but the LM head (QLoRA, Dettmers et al. 2023, section 4: attention
    alone does not reach full fine-tuning); or a list of layer names, such as ["q_proj", "v_proj"].
    """

    rank: Annotated[Literal[1, 8, 16, 32, 64, 128], BeforeValidator(no_truth)] = 16  # what vLLM can serve
    alpha: int | None = Field(None, ge=1, le=1024)
    dropout: float = Field(0.0, ge=0, lt=1)
    use_rslora: Switch = False
    target_modules: Literal["all-linear"] | LayerNames = "all-linear"


class EarlyStopping(Strict):
    """Stops when validation no longer improves, and keeps the step with the lowest validation loss.

    patience 3: validations without an improvement; one or two are often noise.
    min_delta 0: nats by which the loss must fall for patience to count an improvement; the lowest loss is kept anyway.
    """

    patience: int = Field(3, ge=1, le=100)
    min_delta: float = Field(0.0, ge=0)


def as_settings(value: Any) -> Any:
    """`true` stands for the defaults, `false` for none."""
    if value is True:
        return {}
    if value is None or value is False:
        return None
    if not isinstance(value, dict | EarlyStopping):
        raise ValueError("use true, false or an object with 'patience' and 'min_delta'")
    return value


class Hyperparameters(Strict):
    """Those of every method, as the request has them.

    learning_rate_multiplier: scales the `auto` rate; given together with `learning_rate` it is refused.
    max_seq_length auto: what the base model was made for, at most 2048 tokens.
    quantization "nf4": the frozen base in 4 bits (QLoRA, Dettmers et al. 2023); left out unless memory is short, for
    training takes longer and the adapter is then served on a base that it did not see.
    warmup_ratio auto: the first 5 % of the steps; Adam's second moment is noise at first, and LoRA's rates are high.
    eval_interval auto: validation after every epoch; with early_stopping about ten times in the run, or it would come
    too late. A number counts optimizer steps. The last step is always validated.
    checkpoint_interval auto: after every epoch, as OpenAI has it. A number counts optimizer steps. The last step is
    always saved.
    early_stopping false: a run does what it was asked for; `true` stands for the defaults of its two fields.
    """

    n_epochs: Auto | Annotated[int, Field(ge=1, le=50)] = "auto"
    batch_size: Auto | Annotated[int, Field(ge=1, le=256)] = "auto"
    learning_rate_multiplier: Auto | Annotated[float, Field(gt=0, le=100)] = "auto"
    learning_rate: Auto | Annotated[float, Field(gt=0, le=1)] = "auto"
    max_seq_length: Auto | Annotated[int, Field(ge=16, le=131_072)] = "auto"
    lora: Lora = Lora()
    quantization: Literal["nf4"] | None = None
    warmup_ratio: Auto | Annotated[float, Field(ge=0, le=0.5)] = "auto"
    eval_interval: Interval = "auto"
    checkpoint_interval: Interval = "auto"
    early_stopping: Annotated[EarlyStopping | None, BeforeValidator(as_settings)] = None

    @model_validator(mode="after")
    def one_rate(self) -> "Hyperparameters":
        if "auto" not in (self.learning_rate, self.learning_rate_multiplier):
            raise ValueError("give either 'learning_rate' or 'learning_rate_multiplier', which scales the `auto` rate")
        return self


@dataclass(frozen=True)
class Given:
    """What `auto` depends on.

    rows, file_bytes: of the training file. base_parameters: of the base model. base_length: its longest sequence,
    tokens. validates: there is a validation file. layers: the base's linear layers by name, read only if the
    request names some; None: not known yet.
    lora: of the adapter that the job goes on from; None: a fresh one.
    """

    rows: int
    base_parameters: int
    base_length: int
    file_bytes: int = 0
    validates: bool = True
    layers: Callable[[], frozenset[str] | None] = lambda: None
    lora: dict[str, Any] | None = None


SMALL_BASE = 100_000_000
WARMUP_RATIO = 0.05
EVALUATIONS = 10


@dataclass(frozen=True)
class Schedule:
    """What `auto` stands for in a method: as many epochs as make about `steps`, at least 1 and at most `epochs`.

    rate: of learning. small_rate: the same for base models under 100 M parameters.
    """

    steps: int
    epochs: int
    rate: float
    small_rate: float


def resolve_shared(
    asked: Hyperparameters, given: Given, auto: Schedule, *, batch_size: int, steps_per_epoch: int, where: str
) -> dict[str, Any]:
    """The shared hyperparameters with every `auto` replaced.

    batch_size: resolved by the method. where: of the hyperparameters in the request.
    Raises InvalidRequest for what the base or the files do not allow.
    """
    auto_epochs = min(auto.epochs, max(1, round(auto.steps / steps_per_epoch)))
    n_epochs = auto_epochs if asked.n_epochs == "auto" else asked.n_epochs
    auto_rate = auto.small_rate if given.base_parameters < SMALL_BASE else auto.rate
    refuse_without_validation(asked, given.validates, where)
    refuse_unknown_layers(asked.lora, given.layers, where)
    multiplier = 1.0 if asked.learning_rate_multiplier == "auto" else asked.learning_rate_multiplier
    eval_interval = asked.eval_interval
    if eval_interval == "auto":
        often = max(1, n_epochs * steps_per_epoch // EVALUATIONS)
        eval_interval = often if asked.early_stopping else "epoch"
    return {
        "n_epochs": n_epochs,
        "batch_size": batch_size,
        "learning_rate_multiplier": multiplier,
        "learning_rate": auto_rate * multiplier if asked.learning_rate == "auto" else asked.learning_rate,
        "max_seq_length": sequence_length(asked, given, where),
        "lora": resolve_lora(asked.lora, given.lora, where),
        "quantization": asked.quantization,
        "warmup_ratio": WARMUP_RATIO if asked.warmup_ratio == "auto" else asked.warmup_ratio,
        "eval_interval": eval_interval,
        "checkpoint_interval": "epoch" if asked.checkpoint_interval == "auto" else asked.checkpoint_interval,
        "early_stopping": asked.early_stopping.model_dump() if asked.early_stopping else False,
    }


def resolve_lora(asked: Lora, start: dict[str, Any] | None, where: str) -> dict[str, Any]:
    """start: of the adapter to go on from, whose form stays. Raises InvalidRequest for another one."""
    resolved = {
        "rank": asked.rank,
        "alpha": asked.alpha or 2 * asked.rank,
        "dropout": asked.dropout,
        "use_rslora": asked.use_rslora,
        "target_modules": asked.target_modules,
    }
    if start is None:
        return resolved
    for name in ("rank", "alpha", "use_rslora", "target_modules"):
        kept = start[name]
        if name in asked.model_fields_set and resolved[name] != kept:
            raise InvalidRequest(
                f"lora.{name} is {resolved[name]!r}, but the adapter that the job goes on from has {kept!r}: leave "
                f"'{name}' out, and it is taken from there.",
                param=f"{where}.lora.{name}",
            )
        resolved[name] = kept
    return resolved


def auto_length(base_length: int) -> int:
    """Tokens of a row. base_length: those that the base model reads."""
    return min(2048, base_length)


def sequence_length(asked: Hyperparameters, given: Given, where: str) -> int:
    length = auto_length(given.base_length) if asked.max_seq_length == "auto" else asked.max_seq_length
    if length > given.base_length:
        raise InvalidRequest(
            f"max_seq_length {length} is more than the {given.base_length} tokens that the base model reads: "
            "ask for less.",
            param=f"{where}.max_seq_length",
        )
    return length


def resolve_pairs(asked: Hyperparameters, given: Given, auto: Schedule, where: str) -> dict[str, Any]:
    """The shared hyperparameters of a method that trains on every row. Raises InvalidRequest."""
    batch_size = auto_batch_size(given.rows) if asked.batch_size == "auto" else asked.batch_size
    steps_per_epoch = math.ceil(given.rows / batch_size)
    return resolve_shared(asked, given, auto, batch_size=batch_size, steps_per_epoch=steps_per_epoch, where=where)


def resolve_prompts(
    asked: Hyperparameters, given: Given, auto: Schedule, *, auto_batch: int, rows: str, where: str
) -> dict[str, Any]:
    """The shared hyperparameters of a method that trains on whole batches of prompts. Raises InvalidRequest.

    auto_batch: prompts of a batch. rows: what the training file's rows are called.
    """
    batch_size = min(auto_batch, given.rows) if asked.batch_size == "auto" else asked.batch_size
    if batch_size > given.rows:
        raise InvalidRequest(
            f"batch_size {batch_size} is more than the {given.rows} {rows} of the training file, so there would be no "
            f"training step. Use {given.rows} or less.",
            param=f"{where}.batch_size",
        )
    steps_per_epoch = given.rows // batch_size
    return resolve_shared(asked, given, auto, batch_size=batch_size, steps_per_epoch=steps_per_epoch, where=where)


def auto_batch_size(rows: int) -> int:
    return min(64, max(8, 8 * round(rows * 0.002 / 8)))


def refuse_without_validation(asked: Hyperparameters, validates: bool, where: str) -> None:
    wants = {"early_stopping": asked.early_stopping is not None, "eval_interval": asked.eval_interval != "auto"}
    for name, wanted in wants.items():
        if wanted and not validates:
            raise InvalidRequest(
                f"'{name}' looks at the validation loss: give a validation_file, or leave '{name}' out.",
                param=f"{where}.{name}",
            )


def refuse_unknown_layers(lora: Lora, layers: Callable[[], frozenset[str] | None], where: str) -> None:
    """A name is a layer's last part, as in `q_proj`."""
    if lora.target_modules == "all-linear" or (known := layers()) is None:
        return
    for name in lora.target_modules:
        if name not in known:
            raise InvalidRequest(
                f"The base model has no linear layer {name!r}; choose from: {', '.join(sorted(known))}.",
                param=f"{where}.lora.target_modules",
            )
