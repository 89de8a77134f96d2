"""What pydantic wants of a value, in plain words: no regular expressions, no names of Python's types.

Each phrase follows the word "Use": "Use 'auto' or a whole number."
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Problem = Mapping[str, Any]  # one of `ValidationError.errors()`
Context = Mapping[str, Any]

# Every regular expression of a schema; a test looks for the ones that are missing
PATTERNS = {
    r"^[A-Za-z0-9_.-]{1,64}$": "1 to 64 letters, digits, '_', '.' or '-'",
    r"^[A-Za-z0-9_.-]{1,200}$": "1 to 200 letters, digits, '_', '.' or '-'",
    r"^[A-Za-z0-9_-]{1,64}$": "1 to 64 letters, digits, '_' or '-'",
    r"^[A-Za-z_][A-Za-z0-9_]{0,63}$": "1 to 64 letters, digits or '_', and no digit first",
    r"^[^\x00-\x1f\x7f]{1,256}$": "1 to 256 characters without control characters",
    r"^[^\x00-\x1f\x7f]*$": "text without control characters",
    r"^[^/\\#?%:\x00-\x1f\x7f]*$": "text without control characters and without / \\ # ? % :",
}
VALUE = "a value that the documentation of this parameter allows"
OBJECT, ARRAY, TEXT, WHOLE, NUMBER, BOOLEAN = (
    "a JSON object",
    "a JSON array",
    "a string",
    "a whole number",
    "a number",
    "true or false",
)

PHRASES: dict[str, str] = {
    **dict.fromkeys(("string_type", "string_sub_type", "bytes_type"), TEXT),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), WHOLE),
    **dict.fromkeys(("float_type", "float_parsing", "decimal_type", "decimal_parsing"), NUMBER),
    **dict.fromkeys(("bool_type", "bool_parsing"), BOOLEAN),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"), ARRAY),
    **dict.fromkeys(
        ("dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type", "typed_dict_type"),
        OBJECT,
    ),
    "int_parsing_size": "a number of fewer digits",
    "finite_number": "a finite number",
    "none_required": "null",
    "string_unicode": "valid Unicode text",
    "json_type": "JSON text",
    "json_invalid": "valid JSON",
    "path_type": "a path",
    "invalid_key": "strings as keys",
    "union_tag_not_found": "an object with a known 'type'",
}


def characters(count: int) -> str:
    return f"{count:,} character" if count == 1 else f"{count:,} characters"


def items(context: Context) -> str:
    what = "entry", "entries"
    if context.get("field_type") in ("List", "Tuple", "Set", "Frozenset"):
        what = "item", "items"
    count = context.get("min_length", context.get("max_length"))
    return f"{count:,} {what[count != 1]}"


def number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


DETAILED: dict[str, Callable[[Context], str]] = {
    "literal_error": lambda context: str(context["expected"]),
    "enum": lambda context: str(context["expected"]),
    "union_tag_invalid": lambda context: listed(str(context["expected_tags"]).split(", ")),
    "greater_than": lambda context: f"a number above {number(context['gt'])}",
    "greater_than_equal": lambda context: f"a number of {number(context['ge'])} or more",
    "less_than": lambda context: f"a number below {number(context['lt'])}",
    "less_than_equal": lambda context: f"a number of {number(context['le'])} or less",
    "multiple_of": lambda context: f"a multiple of {number(context['multiple_of'])}",
    "string_too_short": lambda context: f"at least {characters(context['min_length'])}",
    "string_too_long": lambda context: f"at most {characters(context['max_length'])}",
    "too_short": lambda context: f"at least {items(context)}",
    "too_long": lambda context: f"at most {items(context)}",
    "string_pattern_mismatch": lambda context: PATTERNS.get(str(context["pattern"]), VALUE),
}


def phrase(problem: Problem) -> str:
    """What to use instead, as it follows the word "Use"."""
    kind, context = problem["type"], problem.get("ctx") or {}
    if kind in DETAILED:
        return DETAILED[kind](context)
    return PHRASES.get(kind, VALUE)


def advice(problems: Sequence[Problem]) -> str:
    """One sentence for problems that all concern the same value, each of which it would be enough to solve."""
    own = [sentence(problem) for problem in problems if problem["type"] in ("value_error", "assertion_error")]
    if own:
        return own[0]
    if problems[0]["type"] == "too_long" and problems[0]["ctx"].get("max_length") == 0:
        return "Leave it out."
    return f"Use {alternatives([phrase(problem) for problem in problems])}."


def sentence(problem: Problem) -> str:
    """What one of our own validators says, as a sentence."""
    text = problem["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ").strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


def alternatives(phrases: Sequence[str]) -> str:
    """Each once, in their order; "true or false" is one phrase, and so are the values of a list."""
    first, *others = dict.fromkeys(phrases)
    if not others:
        return first
    parts = [part for each in (first, *others) for part in re.split(r", | or (?=')", each)]
    return listed(list(dict.fromkeys(parts)))


def listed(values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} or {values[-1]}"
