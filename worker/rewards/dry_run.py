"""A dry run: some prompts of a dataset, a group of completions for each, and what the graders make of them.

Part of the process that answers requests to grade. The engine writes the completions, as for anybody else; whatever
is not there when the time is up is left out and counted.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import orjson

from fettle.datasets.formats import reading
from fettle.datasets.formats.prompts import Prompt
from fettle.errors import FettleError, Unavailable
from fettle.inference.client import Engine, Servable
from fettle.rewards import Graders, Sample, diagnostics
from fettle.settings import Settings
from worker.rewards import open_graders

ROWS_READ = 10_000  # of the dataset: the prompts are drawn from the first so many
AT_ONCE = 32  # requests to the engine
WRITING, SCORING = 0.6, 0.9  # when the completions, and when their scores, must be there: shares of the whole time
ERRORS_SHOWN = 3
ROUNDING = 1e-9  # weights that add up to 1 may not quite
TEXT_SHOWN = 4000  # characters of an example's completion

Line = dict[str, Any]


@dataclass(frozen=True)
class Completion:
    group: int
    prompt: Prompt
    text: str
    tokens: int
    stop_reason: str
    seconds: float


def run(request: Line, graders: Graders, began: float) -> Line:
    """request: as `fettle.jobs.dry_runs` made it. began: `time.monotonic()` when the time began to run.

    Raises Unavailable when the engine wrote nothing.
    """
    wanted, seconds = request["dry_run"], request["seconds"]
    chosen = choose(Path(request["dataset"]), wanted["prompts"], wanted["seed"])
    if wanted.get("instruction"):
        chosen = [instructed(prompt, wanted["instruction"]) for prompt in chosen]
    engine = Engine(Settings(**request["engine"]), routes=open_graders.routes(request))
    servable = Servable(**wanted["model"])
    written = time.monotonic()
    said, refusals = asyncio.run(
        write(engine, servable, chosen, wanted["samples"], wanted["sampling"], began + WRITING * seconds)
    )
    if not said:
        late = f"none arrived within {WRITING * seconds:.0f} seconds. Use fewer prompts or samples."
        why = refusals[0] if refusals else late
        raise Unavailable(f"The engine generated no completions: {why}")
    scoring_began = time.monotonic()
    rows = score(graders, said, began + SCORING * seconds)
    ended = time.monotonic()
    seen = diagnostics.diagnose(rows)
    highest = diagnostics.highest(request["graders"])
    return {
        "prompts": len(chosen),
        "samples": wanted["samples"],
        "refused": len(refusals),
        "unfinished": len(chosen) * wanted["samples"] - len(refusals) - len(rows),
        **seen.to_json(),
        **({"right": right(rows, wanted["right_from"])} if wanted.get("right_from") is not None else {}),
        "warnings": [
            warn._asdict()
            for warn in diagnostics.warnings(seen, highest=highest, errors_at_most=wanted["errors_at_most"])
        ],
        "seconds": {
            "generation": scoring_began - written,
            "generation_per_sample": sum(completion.seconds for completion in said) / len(said),
            "scoring": ended - scoring_began,
            "scoring_per_sample": (ended - scoring_began) / max(1, len(rows)),
        },
        "failures": failures(rows, refusals),
        "examples": examples(rows),
        "sandbox": graders.sandbox,
    }


def choose(path: Path, count: int, seed: int) -> list[Prompt]:
    """Drawn at random, the same ones for the same seed."""
    known = [prompt for _, prompt in islice(reading.prompts(path), ROWS_READ)]
    return random.Random(seed).sample(known, min(count, len(known)))


def instructed(prompt: Prompt, instruction: str) -> Prompt:
    """With the instruction in a system message, its own or a new one."""
    first, *others = prompt.messages
    if first["role"] == "system" and isinstance(first.get("content"), str):
        return prompt._replace(messages=[{**first, "content": f"{first['content']}\n\n{instruction}"}, *others])
    return prompt._replace(messages=[{"role": "system", "content": instruction}, *prompt.messages])


def right(rows: Sequence[Line], threshold: float) -> list[tuple[int, int]]:
    """Of each prompt: completions that have a reward, and how many reach the threshold."""
    groups: dict[int, list[bool]] = {}
    for row in rows:
        if row["reward"] is not None:
            groups.setdefault(row["group"], []).append(row["reward"] >= threshold - ROUNDING)
    return [(len(group), sum(group)) for group in groups.values()]


async def write(
    engine: Engine, servable: Servable, chosen: Sequence[Prompt], samples: int, sampling: Line, until: float
) -> tuple[list[Completion], list[str]]:
    """What was written by `until`, group by group, and why the engine refused the rest. Closes the engine."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, prompt: Prompt, seed: int) -> Completion:
        async with turns:
            began = time.monotonic()
            body = await asked(engine, servable, {"messages": prompt.messages, "seed": seed, **sampling})
            choice = body["choices"][0]
            text = choice["message"]["content"] or ""
            tokens = (body.get("usage") or {}).get("completion_tokens", 0)
            return Completion(number, prompt, text, tokens, choice["finish_reason"], time.monotonic() - began)

    tasks = [
        asyncio.create_task(one(number, prompt, number * samples + sample))
        for number, prompt in enumerate(chosen)
        for sample in range(samples)
    ]
    try:
        await asyncio.wait(tasks, timeout=max(0.0, until - time.monotonic()))
        said, refusals = [], []
        for task in tasks:
            if task.done():
                try:
                    said.append(task.result())
                except FettleError as error:
                    refusals.append(error.message)
        return said, refusals
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await engine.close()


async def asked(engine: Engine, servable: Servable, body: Line) -> Line:
    """The engine's answer. Raises FettleError when it is a refusal, or broke off."""
    answer = await engine.generate(servable, body)
    try:
        said: Line = orjson.loads(b"".join([part async for part in answer.body]))
        if answer.status == 200:
            return said
        raise FettleError(str(said["error"]["message"]))
    except (httpx.TransportError, orjson.JSONDecodeError, LookupError, TypeError) as error:
        raise FettleError(f"The engine's response was incomplete (status {answer.status}).") from error


def score(graders: Graders, said: Sequence[Completion], until: float) -> list[Line]:
    """A row of each completion that was judged in time; a group at a time, so that slow graders show something."""
    rows: list[Line] = []
    for number in sorted({completion.group for completion in said}):
        if time.monotonic() > until:
            break
        group = [completion for completion in said if completion.group == number]
        samples = [Sample(each.prompt.messages, each.text, each.prompt.item) for each in group]
        for each, scores in zip(group, graders.score(samples), strict=True):
            rows.append(
                {
                    "group": number,
                    "prompt": each.prompt.messages,
                    "completion": each.text,
                    "tokens": each.tokens,
                    "stop_reason": each.stop_reason,
                    **asdict(scores),
                }
            )
    return rows


def failures(rows: Sequence[Line], refusals: Sequence[str]) -> list[Line]:
    """What went wrong, each message once, the most frequent first."""
    counts: dict[tuple[str | None, str], int] = {}
    for said in refusals:
        counts[None, said] = counts.get((None, said), 0) + 1
    for row in rows:
        for name, failure in row["errors"].items():
            key = (name, failure["message"])
            counts[key] = counts.get(key, 0) + 1
    found = sorted(counts.items(), key=lambda each: -each[1])[:ERRORS_SHOWN]
    return [{"grader": name, "message": message, "count": count} for (name, message), count in found]


def examples(rows: Sequence[Line]) -> list[Line]:
    """The best, the worst, and one from the middle, of different groups where there are some."""
    judged = sorted((row for row in rows if row["reward"] is not None), key=lambda row: -row["reward"])
    failed = [row for row in rows if row["reward"] is None]
    if not judged:
        return [shown(row) for row in failed[:1]]
    picked = [judged[0]]
    for wanted in (len(judged) // 2, len(judged) - 1):
        if judged[wanted] not in picked:
            picked.append(judged[wanted])
    return [shown(row) for row in [*picked, *failed[:1]]]


def shown(row: Line) -> Line:
    text = row["completion"]
    return {**row, "completion": text if len(text) <= TEXT_SHOWN else f"{text[:TEXT_SHOWN]}…"}
