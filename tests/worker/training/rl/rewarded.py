"""Real training children of the reinforcement method, and a supervisor's end that scores what they generate."""

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from examples.word_problems import problems
from tests.worker.training.children import Child, Line, work_folder

Scores = dict[str, list[float | None]]


def rows(count: int, split: Any = "train", seed: int = 1) -> list[dict[str, Any]]:
    return [{"prompt": each.question, "answer": str(each.answer)} for each in islice(problems(split, seed), count)]


def folder(
    path: Path,
    *,
    count: int = 8,
    valid: int = 0,
    resume: Path | None = None,
    start: Path | None = None,
    **hyperparameters: Any,
) -> Path:
    """Two prompts a step, four completions each."""
    values = {
        "batch_size": 2,
        "n_epochs": 3,
        "learning_rate": 1e-3,
        "group_size": 4,
        "max_completion_tokens": 12,
        "temperature": 1.0,
        "kl_beta": 0.0,
        "loss_type": "dapo",
        "epsilon": 0.2,
        "eval_samples": 1,
    }
    held_out = rows(valid, "held_out") if valid else None
    made = work_folder(path, rows(count), held_out, resume=resume, start=start, **values | hyperparameters)
    spec = json.loads((made / "spec.json").read_text())
    given = spec["method"]["supervised"]
    spec["method"] = {"type": "reinforcement", "reinforcement": given}
    (made / "spec.json").write_text(json.dumps(spec))
    return made


def right_and_short(batch: list[Line]) -> Scores:
    """1 for the right answer; the second function prefers few letters, so that hardly a group is all equal."""
    right = [1.0 if f"<answer>{each['item']['answer']}</answer>" in each["completion"] else 0.0 for each in batch]
    return {"right": list(right), "short": [-len(each["completion"]) / 40 for each in batch]}


def serve(child: Child, judge: Callable[[list[Line]], Scores] = right_and_short, until: str = "") -> list[Line]:
    """Answers every `score` line; everything that the child says, up to the first line of type `until`, or its end."""
    heard = []
    for line in child.lines:
        heard.append(line)
        if line["type"] == until:
            break
        if line["type"] == "score":
            answer(child, line, judge)
        if line["type"] == "call_tools":
            results = [returned(call["arguments"]) for call in line["calls"]]
            child.socket.sendall(json.dumps({"type": "called", "results": results}).encode() + b"\n")
    return heard


def returned(arguments: str) -> dict[str, Any]:
    """The product, as a tool would return it."""
    try:
        given = json.loads(arguments)
        return {"text": str(given["a"] * given["b"]), "failed": False}
    except (ValueError, KeyError, TypeError) as error:
        return {"text": f"Error: {error}", "failed": True}


def answer(child: Child, line: Line, judge: Callable[[list[Line]], Scores] = right_and_short) -> None:
    scores = judge(line["rollouts"])
    columns = list(zip(*scores.values(), strict=True))
    rewards = [None if None in column else sum(column) for column in columns]
    reply = {"type": "scored", "rewards": rewards, "scores": scores, "version": 1, "seconds": 0.0}
    child.socket.sendall(json.dumps(reply).encode() + b"\n")
