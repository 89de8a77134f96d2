"""From a request body to what the decode thread takes: prompt ids, and how to sample. Blocking: for threads."""

from typing import Any

import jinja2
from pydantic import TypeAdapter, ValidationError

from fettle.errors import InvalidRequest, TrainingFailed, from_schema
from worker.engine import grammar
from worker.engine.completion_schema import CompletionRequest
from worker.engine.requests import Base, Sampling
from worker.engine.schemas import ChatRequest, Generated, Message
from worker.engine.tools import offers

DEFAULT_MAX_TOKENS = 512


def of_chat(base: Base, body: ChatRequest) -> list[list[int]]:
    """The prompt's ids (T), by the renderer that training uses."""
    try:
        messages = [message.for_template(index) for index, message in enumerate(body.messages)]
        prompt = base.renderer.prompt(messages, **offers.variables(base, body))
    except TrainingFailed as failure:
        raise InvalidRequest(failure.message, code=failure.code, param="messages") from failure
    except jinja2.TemplateError as error:
        raise InvalidRequest(
            f"The chat template of {base.name!r} rejects these messages: {error}.", param="messages"
        ) from error
    if not prompt:
        raise InvalidRequest(
            f"The chat template of {base.name!r} turns these messages into an empty prompt.", param="messages"
        )
    return [prompt]


def of_texts(base: Base, body: CompletionRequest) -> list[list[int]]:
    """Prompt ids (T) of each prompt: as given, or as the tokenizer makes them, with the beginning that it adds."""
    alone = len(body.prompt) == 1
    return [
        of_text(base, prompt, "prompt" if alone else f"prompt[{index}]") for index, prompt in enumerate(body.prompt)
    ]


def of_text(base: Base, prompt: str | list[int], param: str) -> list[int]:
    if isinstance(prompt, str):
        ids = list(base.renderer.tokenizer.encode(prompt).ids)
        if not ids:
            raise InvalidRequest(f"The prompt has no tokens for the tokenizer of {base.name!r}.", param=param)
        return ids
    check_ids(base, prompt, param)
    return prompt


CONVERSATION = TypeAdapter(list[Message])


def of_conversation(base: Base, given: list[dict[str, Any]]) -> list[int]:
    """Ids (T) of a conversation up to where the response ends, which is where a reward model learned to score it.

    Raises InvalidRequest.
    """
    try:
        messages = CONVERSATION.validate_python(given)
    except ValidationError as error:
        raise from_schema(error.errors(), within=("conversations",)) from error
    if not messages or messages[-1].role != "assistant":
        raise InvalidRequest("A conversation to be scored must end with an assistant message.", param="conversations")
    try:
        turns = [message.for_template() for message in messages]
        context = [{**turn, "weight": 0} if turn["role"] == "assistant" else turn for turn in turns[:-1]]
        rendered = base.renderer.render([*context, turns[-1]])
    except TrainingFailed as failure:
        raise InvalidRequest(failure.message, code=failure.code, param="conversations") from failure
    supervised = [position for position, counts in enumerate(rendered.supervised) if counts]
    if not supervised:
        raise InvalidRequest("The response has no tokens to score.", param="conversations")
    ids = rendered.ids[: supervised[-1] + 1]
    if len(ids) > base.length:
        raise InvalidRequest(
            f"The context of {base.name!r} is {base.length} tokens, but the conversation has {len(ids)}.",
            code="context_length_exceeded",
            param="conversations",
        )
    return ids


def check_ids(base: Base, ids: list[int], param: str) -> None:
    size = base.renderer.tokenizer.get_vocab_size()
    if ids and max(ids) >= size:
        raise InvalidRequest(f"{base.name!r} has no token {max(ids)}. Use ids from 0 to {size - 1}.", param=param)


def sampling(body: Generated, base: Base, prompt_tokens: int) -> Sampling:
    """Raises InvalidRequest when prompt and completion do not fit into the base's length, or for a bad schema."""
    asked = body.token_limit
    room = base.length - prompt_tokens
    if room < (asked or 1):
        raise InvalidRequest(
            f"The context of {base.name!r} is {base.length} tokens, but the messages have {prompt_tokens} and the "
            f"completion may have up to {asked or 1}. Shorten the messages or lower max_completion_tokens.",
            code="context_length_exceeded",
            param="messages" if isinstance(body, ChatRequest) else "prompt",
        )
    check_ids(base, list(body.logit_bias), "logit_bias")
    calls = offers.of(base, body) if isinstance(body, ChatRequest) else None
    return Sampling(
        n=body.drawn,
        temperature=body.temperature,
        top_p=body.top_p,
        seed=body.seed,
        max_tokens=asked or min(DEFAULT_MAX_TOKENS, room),
        stops=tuple(body.stop),
        frequency_penalty=body.frequency_penalty,
        presence_penalty=body.presence_penalty,
        logit_bias=body.logit_bias,
        logprobs=0 if body.likeliest is None and body.drawn > body.n else body.likeliest,
        grammar=calls.grammar if calls else schema_grammar(body, base),
        shown=calls.shown if calls else frozenset(),
    )


def schema_grammar(body: Generated, base: Base) -> grammar.Grammar | None:
    return None if body.json_schema is None else grammar.compiled(body.json_schema, base.vocabulary)
