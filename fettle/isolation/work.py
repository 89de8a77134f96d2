"""What may be run in isolation. Each function takes an argument made of JSON and some bytes, and returns bytes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from fettle.comparisons import prompts, results
from fettle.comparisons.imports import reader
from fettle.datasets.formats import facts, near_duplicates, preview, repeats, token_sample, validation
from fettle.errors import InvalidRequest
from fettle.isolation import json_body
from fettle.jobs import metric_series
from fettle.registry import adapter_upload
from fettle.reports import work as report_work
from fettle.rewards import grader_fields, tools
from fettle.rollouts import selection

GRADERS_BYTES = TOOLS_BYTES = 1 << 20  # of all graders or tools of a job: lists show a hundred jobs
DEPTH_AT_MOST = 100
LIBRARIES = (*near_duplicates.LIBRARIES, *results.LIBRARIES)  # of some work: loaded before it comes, where time allows

Work = Callable[[Any, bytes], bytes]


def check_graders(argument: Any, content: bytes) -> bytes:
    check = grader_fields.check if argument["sources"] else grader_fields.check_shape
    checked = check(argument["judges"], tuple(argument["within"]))
    where = ".".join(argument["within"]) or "grader"
    try:
        stored = orjson.dumps(checked)
    except orjson.JSONEncodeError as error:
        raise InvalidRequest(f"The graders cannot be stored as JSON: {error}.", param=where) from error
    if len(stored) > GRADERS_BYTES:
        raise InvalidRequest(
            f"The graders have {len(stored):,} bytes, but the limit is {GRADERS_BYTES:,}. Shorten them.", param=where
        )
    if deeper(checked, DEPTH_AT_MOST):
        raise InvalidRequest(
            f"The graders are nested more than {DEPTH_AT_MOST} levels deep. Flatten them.", param=where
        )
    return stored


def check_tools(argument: Any, content: bytes) -> bytes:
    within = tuple(argument["within"])
    tools.check(argument["tools"], within)
    if (size := len(orjson.dumps(argument["tools"]))) > TOOLS_BYTES:
        raise InvalidRequest(
            f"The tools have {size:,} bytes, but the limit is {TOOLS_BYTES:,}. Shorten them.",
            param=".".join((*within, "tools")),
        )
    return b""


def deeper(value: Any, limit: int) -> bool:
    waiting = [(value, 1)]
    while waiting:
        each, depth = waiting.pop()
        if depth > limit:
            return True
        inner = each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        waiting.extend((one, depth + 1) for one in inner)
    return False


def check_body(argument: Any, content: bytes) -> bytes:
    json_body.examine(content)
    return b""


def validate(argument: Any, content: bytes) -> bytes:
    report = validation.validate(Path(argument["path"]), max_row_bytes=argument["max_row_bytes"])
    return report.model_dump_json().encode()


def look(argument: Any, content: bytes) -> bytes:
    """A preview of a dataset."""
    path, base = Path(argument.pop("path")), Path(argument.pop("base"))
    return orjson.dumps(preview.look(path, base, **argument))


def sample_tokens(argument: Any, content: bytes) -> bytes:
    path, base = Path(argument.pop("path")), Path(argument.pop("base"))
    return orjson.dumps(token_sample.look(path, base, **argument))


def dataset_facts(argument: Any, content: bytes) -> bytes:
    return orjson.dumps(facts.look(Path(argument["path"])))


def dataset_repeats(argument: Any, content: bytes) -> bytes:
    path, other = Path(argument.pop("path")), argument.pop("other")
    return orjson.dumps(repeats.look(path, other=None if other is None else Path(other), **argument))


def take_adapter(argument: Any, content: bytes) -> bytes:
    base = argument["base"]
    base = adapter_upload.Base(base["name"], Path(base["folder"]), base["hub"], base["others"])
    sources = {name: Path(path) for name, path in argument["sources"].items()}
    return orjson.dumps(adapter_upload.take(sources, Path(argument["folder"]), base))


WORK: dict[str, Work] = {
    "take_adapter": take_adapter,
    "check_graders": check_graders,
    "check_tools": check_tools,
    "check_body": check_body,
    "validate": validate,
    "look": look,
    "dataset_facts": dataset_facts,
    "dataset_repeats": dataset_repeats,
    "sample_tokens": sample_tokens,
    "select_rollouts": selection.select,
    "comparison_prompts": prompts.read,
    "comparison_votes": reader.read,
    "comparison_results": results.compute,
    "report": report_work.write,
    "export_rollouts": selection.export,
    "metric_columns": metric_series.answer,
}
