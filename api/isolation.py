"""Work that grows with a request, run outside of the event loop's process; what goes wrong there as a sentence."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import orjson

from fettle import methods
from fettle.bounded_work import Exhausted, Overrun
from fettle.datasets.previews import Look
from fettle.errors import InvalidRequest
from fettle.isolation.pool import MEMORY, SECONDS, Pool
from fettle.rollouts.export import Encode, Format
from fettle.rollouts.pages import Part, Read, Rows
from fettle.rollouts.store import RolloutFilter

GRADER_SECONDS = 10.0


async def run(
    pool: Pool,
    work: str,
    project_id: str,
    param: str,
    argument: Any = None,
    content: bytes = b"",
    *,
    seconds: float = SECONDS,
    memory: int = MEMORY,
) -> bytes:
    """Raises InvalidRequest for what takes too long or too much memory. param: what of the request it is."""
    try:
        return await pool.run(work, project_id, argument, content, seconds=seconds, memory=memory)
    except Overrun as error:
        raise InvalidRequest(
            f"Checking {param!r} took more than {seconds:g} seconds. Send something smaller or simpler.",
            code="too_complex",
            param=param,
        ) from error
    except Exhausted as error:
        raise InvalidRequest(
            f"Checking {param!r} took too much memory. Send something smaller or simpler.",
            code="too_complex",
            param=param,
        ) from error


async def graders(
    pool: Pool, project_id: str, judges: dict[str, Any], within: tuple[str, ...] = (), *, sources: bool = True
) -> Any:
    """As `rewards.grader_fields.check`. sources: whether user code is looked at; the sandbox says more about it."""
    named = ".".join((*within, next(iter(judges), "grader")))
    argument = {"judges": judges, "within": within, "sources": sources}
    try:
        orjson.dumps(argument)
    except orjson.JSONEncodeError as error:
        raise InvalidRequest(f"{named!r} cannot be written as JSON: {error}.", param=named) from error
    return orjson.loads(await run(pool, "check_graders", project_id, named, argument, seconds=GRADER_SECONDS))


async def graders_of(pool: Pool, project_id: str, method: methods.Method) -> Any:
    """As `planning.graders_of`."""
    spec, within = methods.spec_of(method), ("method", method.type)
    asked, tools = spec.graders(method), spec.tools(method)
    if tools is not None:
        argument = {"tools": tools, "within": within}
        await run(pool, "check_tools", project_id, ".".join((*within, "tools")), argument, seconds=GRADER_SECONDS)
    return None if asked is None else await graders(pool, project_id, asked, within)


def look(pool: Pool, project_id: str, base: Path) -> Look:
    """Previews on the base model in this folder."""

    async def look(**arguments: Any) -> dict[str, Any]:
        argument = {"base": str(base), **arguments}
        found = await run(pool, "look", project_id, "file_id", argument, seconds=30, memory=1 << 30)
        return cast(dict[str, Any], orjson.loads(found))

    return look


def token_sample(pool: Pool, project_id: str, base: Path) -> Look:
    """Of a dataset, with the tokenizer of the base model in this folder."""

    async def look(**arguments: Any) -> dict[str, Any]:
        argument = {"base": str(base), **arguments}
        found = await run(pool, "sample_tokens", project_id, "training_file", argument, seconds=30, memory=1 << 30)
        return cast(dict[str, Any], orjson.loads(found))

    return look


def facts(pool: Pool, project_id: str) -> Look:
    """Of a dataset, for the advisor."""

    async def look(path: str, whole: bool) -> dict[str, Any]:
        found = await run(pool, "dataset_facts", project_id, "file", {"path": path}, seconds=20)
        return cast(dict[str, Any], orjson.loads(found))

    return look


def repeats(pool: Pool, project_id: str) -> Look:
    """Of a dataset, alone or against another one."""

    async def look(**arguments: Any) -> dict[str, Any]:
        found = await run(pool, "dataset_repeats", project_id, "file_id", arguments, seconds=30, memory=1 << 30)
        return cast(dict[str, Any], orjson.loads(found))

    return look


def read_rollouts(pool: Pool, project_id: str) -> Read:
    async def read(content: bytes, part: Part) -> Rows:
        found = await run(pool, "select_rollouts", project_id, "rollouts", asdict(part), content, seconds=30)
        return Rows(**orjson.loads(found))

    return read


def encode_rollouts(pool: Pool, project_id: str) -> Encode:
    async def encode(content: bytes, wanted: RolloutFilter, format: Format) -> bytes:
        argument = {"wanted": asdict(wanted), "format": format}
        return await run(pool, "export_rollouts", project_id, "rollouts", argument, content, seconds=30)

    return encode
