"""Reinforcement learning from reward functions: GRPO (Shao et al. 2024, DeepSeekMath) and its variants."""

from typing import Annotated, Any, Literal

import orjson
from jsonschema import Draft202012Validator, SchemaError
from pydantic import Field, model_validator

from fettle.errors import brief
from fettle.methods.common import (
    ITEMS_AT_MOST,
    Auto,
    Given,
    Schedule,
    resolve_prompts,
)
from fettle.methods.sampling import SamplingHyperparameters, resolve_sampling
from fettle.methods.spec import PROMPTS, REWARDS, Method, MethodSpec
from fettle.methods.tools import Tools
from fettle.schemas.response_format import ResponseFormat, schema_of
from fettle.schemas.strict import Strict

WHERE = "method.reinforcement.hyperparameters"
AUTO = Schedule(steps=60, epochs=50, rate=1e-5, small_rate=3e-3)
BATCH = 16  # prompts
MAX_TURNS, MOST_TURNS = 4, 32
GROUP_SIZE, LARGEST_GROUP = 8, 64
EPSILON = 0.2
MAX_GRADER_ERRORS = 0.2
SCHEMA_BYTES = 64 * 1024  # as in chat
LossType = Literal["grpo", "dr_grpo", "dapo", "bnpo", "cispo", "gspo"]


class ReinforcementHyperparameters(SamplingHyperparameters):
    """As the request has them.

    batch_size auto: 16 prompts a step, or all there are; 8 were too noisy to learn from, measured on the starter.
    n_epochs auto: enough passes for about 60 steps, at least 1 and at most 50: ten prompts are enough to begin with.
    learning_rate auto: 1e-5, ten times TRL's for full fine-tuning; 3e-3 for base models under 100 M parameters: with a
    tenth of it the starter learned nothing in 50 steps, measured.
    group_size auto: 8 completions a prompt, times compute_multiplier: what a completion is compared with.
    compute_multiplier: OpenAI's dial for how much to sample; it scales `auto` group_size and nothing else.
    kl_beta 0: no reference (DAPO, Yu et al. 2025, section 2.3); above 0 the KL to where the job started is penalised.
    loss_type "dapo": each token of the batch weighs the same, so that no length is favoured; "dr_grpo" also
    leaves out the division by the group's spread (Liu et al. 2025); "gspo" weighs whole sequences (Zheng et al.
    2025); "cispo" clips the ratio and keeps the gradient (MiniMax 2025).
    epsilon 0.2: by how much the ratio of new to old policy may leave 1 before the gradient ends (PPO's). One update is
    made from each batch of completions, so that the ratio hardly leaves 1. cispo takes 5 above and none below.
    reasoning_effort: OpenAI's; open base models have no such setting, so a job's events say that it has no effect.
    max_grader_errors 0.2: the share of completions on which graders may fail before the job does.
    max_turns auto: 4 turns of the assistant with tools, so up to three rounds of calls before its answer; 1 without.
    """

    group_size: Auto | Annotated[int, Field(ge=2, le=LARGEST_GROUP)] = "auto"
    compute_multiplier: Auto | Annotated[float, Field(gt=1e-5, le=10)] = "auto"
    kl_beta: Annotated[float, Field(ge=0, le=10)] = 0.0
    loss_type: LossType = "dapo"
    epsilon: Auto | Annotated[float, Field(gt=0, lt=10)] = "auto"
    max_grader_errors: Annotated[float, Field(ge=0, le=1)] = MAX_GRADER_ERRORS
    max_turns: Auto | Annotated[int, Field(ge=1, le=MOST_TURNS)] = "auto"
    reasoning_effort: Literal["default", "none", "minimal", "low", "medium", "high", "xhigh"] | None = None

    @model_validator(mode="after")
    def one_group_size(self) -> "ReinforcementHyperparameters":
        if "auto" not in (self.group_size, self.compute_multiplier):
            raise ValueError("give either 'group_size' or 'compute_multiplier', which scales the `auto` group_size")
        return self


class Reinforcement(Strict):
    """What judges the completions: one of the three, what they are held to while they are sampled, the tools that the
    policy may call, and how to train."""

    grader: dict[str, Any] | None = None
    graders: dict[str, Any] | Annotated[list[dict[str, Any]], Field(max_length=ITEMS_AT_MOST)] | None = None
    reward_functions: Annotated[list[str | dict[str, Any]], Field(max_length=ITEMS_AT_MOST)] | None = None
    response_format: ResponseFormat | None = None
    tools: Tools | None = None
    hyperparameters: ReinforcementHyperparameters = ReinforcementHyperparameters()

    @model_validator(mode="after")
    def one_judge(self) -> "Reinforcement":
        given = [name for name in ("grader", "graders", "reward_functions") if getattr(self, name)]
        if len(given) != 1:
            named = " and ".join(repr(name) for name in given) or "none"
            raise ValueError(f"give one of 'grader', 'graders' and 'reward_functions'; given: {named}")
        return self

    @model_validator(mode="after")
    def a_schema(self) -> "Reinforcement":
        """The training process compiles it; what is plainly wrong is refused before."""
        schema = schema_of(self.response_format) or {}
        if len(orjson.dumps(schema)) > SCHEMA_BYTES:
            raise ValueError(f"the JSON schema of 'response_format' has more than {SCHEMA_BYTES:,} bytes; shorten it")
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            raise ValueError(f"'response_format' has no valid JSON schema: {brief(error.message)}") from error
        return self

    @model_validator(mode="after")
    def turns_need_tools(self) -> "Reinforcement":
        if self.tools is None and self.hyperparameters.max_turns not in ("auto", 1):
            raise ValueError("'max_turns' above 1 needs 'tools': without a call, the first answer is the last turn")
        return self

    def judges(self) -> dict[str, Any]:
        """The one that was given, by its name."""
        return self.model_dump(include={"grader", "graders", "reward_functions"}, exclude_none=True)


class ReinforcementMethod(Method):
    """`grpo` is another name of `reinforcement`."""

    type: Literal["reinforcement"]
    reinforcement: Reinforcement

    @model_validator(mode="before")
    @classmethod
    def one_name(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("type") == "grpo":
            rest = {name: given for name, given in value.items() if name != "grpo"}
            return {**rest, "type": "reinforcement", **({"reinforcement": value["grpo"]} if "grpo" in value else {})}
        return value


def resolve(method: ReinforcementMethod, given: Given) -> dict[str, Any]:
    """Its settings with every `auto` replaced. Raises InvalidRequest."""
    asked = method.reinforcement.hyperparameters
    multiplier = 1.0 if asked.compute_multiplier == "auto" else asked.compute_multiplier
    auto_group = min(LARGEST_GROUP, max(2, round(GROUP_SIZE * multiplier)))
    sampling = resolve_sampling(asked, given, WHERE)
    shared = resolve_prompts(asked, given, AUTO, auto_batch=BATCH, rows="prompts", where=WHERE)
    own = {
        "group_size": auto_group if asked.group_size == "auto" else asked.group_size,
        "compute_multiplier": multiplier,
        "kl_beta": asked.kl_beta,
        "loss_type": asked.loss_type,
        "epsilon": EPSILON if asked.epsilon == "auto" else asked.epsilon,
        "reasoning_effort": asked.reasoning_effort or "default",
        "max_grader_errors": asked.max_grader_errors,
    }
    form, tools = method.reinforcement.response_format, tools_of(method)
    held: dict[str, Any] = (
        {} if form is None else {"response_format": form.model_dump(by_alias=True, exclude_none=True)}
    )
    if tools is not None:
        held["tools"] = tools
        own["max_turns"] = MAX_TURNS if asked.max_turns == "auto" else asked.max_turns
    return {**graders_of(method), **held, "hyperparameters": shared | sampling | own}


def graders_of(method: ReinforcementMethod) -> dict[str, Any]:
    return method.reinforcement.judges()


def tools_of(method: ReinforcementMethod) -> list[dict[str, Any]] | None:
    tools = method.reinforcement.tools
    return None if tools is None else [tool.model_dump(exclude_none=True) for tool in tools]


SPEC = MethodSpec(
    request=ReinforcementMethod,
    resolve=resolve,
    shapes=PROMPTS,
    graders=graders_of,
    tools=tools_of,
    unit="prompts",
    labels=REWARDS,
    reported=(*REWARDS, "train_loss"),
    figures={"reward_mean": ".4f", "completion_length_mean": ".1f"},
)
