"""`response_format`: JSON by constrained decoding. Each step, only tokens that can still become valid text are sampled.

llguidance computes the masks (github.com/guidance-ai/llguidance): it reads the base's own tokenizer, needs no torch,
and fetches no `$ref` from anywhere.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import orjson

from fettle.errors import InvalidRequest
from worker.engine import schema_limits
from worker.engine.errors import GenerationFailed
from worker.engine.vocabulary import Vocabulary

if TYPE_CHECKING:
    from llguidance import LLMatcher

MAX_SCHEMA_BYTES = 64 * 1024
# One blank, or a new line and its indent: a model that was never taught JSON writes blanks for as long as it may
OPTIONS = {"whitespace_flexible": True, "whitespace_pattern": r"( |\n {0,16})?"}


class Matcher:
    """Where one row is in its grammar. The decode thread's alone."""

    def __init__(self, matcher: "LLMatcher") -> None:
        self.matcher = matcher

    def mask(self) -> bytes:
        """One byte a token, not 0 where the token may come next. Raises GenerationFailed when none may."""
        allowed = self.matcher.compute_logit_bias()
        if self.matcher.is_error() or not any(allowed):
            raise GenerationFailed("The engine could not apply 'response_format': the schema is too complex.")
        return allowed

    def take(self, token: int) -> None:
        self.matcher.consume_token(token)


class Grammar:
    """What the whole text of an answer must be."""

    def __init__(self, start: "LLMatcher") -> None:
        self.start = start

    def matcher(self) -> Matcher:
        return Matcher(self.start.deep_copy())


SCHEMA = "response_format.json_schema.schema"


def schema_text(
    schema: Mapping[str, Any], where: str = SCHEMA, options: Mapping[str, Any] = MappingProxyType(OPTIONS)
) -> str:
    """As llguidance is to read it. Raises InvalidRequest for one that is too long."""
    text = orjson.dumps(schema)
    if len(text) > MAX_SCHEMA_BYTES:
        raise refused(f"it has {len(text):,} bytes; the limit is {MAX_SCHEMA_BYTES:,}", where)
    if "x-guidance" in schema:
        raise refused("'x-guidance' is not a JSON Schema keyword", where)
    return orjson.dumps({**schema_limits.limited(schema), "x-guidance": dict(options)}).decode()


def compiled(schema: Mapping[str, Any], vocabulary: Vocabulary) -> Grammar:
    """The grammar of all JSON texts that the schema allows. Blocking. Raises InvalidRequest, which says why."""
    from llguidance import LLMatcher

    text = schema_text(schema)
    try:
        grammar = LLMatcher.grammar_from_json_schema(text)
    except ValueError as error:
        raise refused(str(error)) from error
    return started(grammar, vocabulary, SCHEMA)


def compiled_lark(lark: str, vocabulary: Vocabulary, where: str) -> Grammar:
    """Blocking. Raises InvalidRequest, which says why."""
    from llguidance import LLMatcher

    try:
        grammar = LLMatcher.grammar_from_lark(lark)
    except ValueError as error:
        raise refused(str(error), where) from error
    return started(grammar, vocabulary, where)


def started(grammar: str, vocabulary: Vocabulary, where: str) -> Grammar:
    from llguidance import LLMatcher

    start = LLMatcher(vocabulary.guide, grammar, log_level=0)
    if start.is_error():
        raise refused(start.get_error().splitlines()[0], where)
    return Grammar(start)


def refused(why: str, where: str = SCHEMA) -> InvalidRequest:
    return InvalidRequest(f"The JSON schema cannot be used: {why}.", code="invalid_json_schema", param=where)
