"""What GRPO's and RLOO's trainers are made of in the same way."""

from dataclasses import replace
from typing import Any

import torch
from datasets import Dataset
from pydantic import TypeAdapter

from fettle.datasets.formats.render import Renderer
from fettle.errors import InvalidRequest, TrainingFailed
from fettle.schemas.response_format import ResponseFormat, schema_of
from worker.engine.grammar import Grammar, compiled
from worker.engine.vocabulary import Vocabulary
from worker.training import arguments, probe
from worker.training.data import prompts
from worker.training.model import lm_head, loading
from worker.training.process.channel import Channel
from worker.training.process.job_spec import Work
from worker.training.rl.sampling import colocated
from worker.training.rl.tools import Toolset

FORMAT: TypeAdapter[Any] = TypeAdapter(ResponseFormat)


def arguments_of(work: Work) -> dict[str, Any]:
    """For GRPOConfig and RLOOConfig."""
    asked = work.hyperparameters
    ours = not {"response_format", "tools"}.isdisjoint(work.options)  # TRL's vLLM knows no grammar, nor our tools
    return {
        **colocated.options(asked["max_seq_length"], on_gpu=torch.cuda.is_available() and not ours),
        **arguments.shared(in_completions(work)) | {"include_num_input_tokens_seen": "no"},  # TRL counts them itself
        "num_generations": asked["group_size"],
        "num_generations_eval": asked["eval_samples"],
        "max_completion_length": asked["max_completion_tokens"],
        "temperature": asked["temperature"],
    }


def parts_of(work: Work, channel: Channel, renderer: Renderer, train: Dataset, valid: Dataset | None) -> dict[str, Any]:
    """For the constructor of a `GroupTrainer`, without `args`, `source` and `make_judge`. Raises TrainingFailed."""
    lm_head.score_labels_only()
    return {
        "work": work,
        "channel": channel,
        "renderer": renderer,
        "model": loading.network(in_completions(work), channel),
        "train_dataset": train,
        "eval_dataset": valid,
        "processing_class": loading.tokenizer(work.base_path),
        "probe_rows": prompts.encoded(renderer, train, probe.ROWS),
    }


def grammar_of(
    work: Work, channel: Channel, renderer: Renderer, ends: frozenset[int], tools: Toolset | None = None
) -> Grammar | None:
    """What `response_format` holds the completions to, and tools their calls, as in chat. Raises TrainingFailed."""
    form = FORMAT.validate_python(work.options.get("response_format", {"type": "text"}))
    schema = schema_of(form)
    if schema is None and tools is None:
        return None
    vocabulary = Vocabulary(renderer, ends)
    try:
        grammar = tools.grammar(vocabulary, schema) if tools is not None else compiled(schema or {}, vocabulary)
    except InvalidRequest as error:
        where = f"method.reinforcement.{error.param}"
        raise TrainingFailed(str(error.code), error.message, where) from error
    if schema is not None:
        channel.event("Completions are held to the JSON schema of 'response_format' while they are sampled.", {})
    return grammar


def in_completions(work: Work) -> Work:
    """The same with a batch_size of completions, as TRL counts: a request's is of prompts."""
    asked = work.hyperparameters
    return replace(work, hyperparameters={**asked, "batch_size": asked["batch_size"] * asked["group_size"]})
