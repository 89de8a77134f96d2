"""One rollout as a row: Parquet in storage, JSON for clients."""

import io
from collections.abc import Sequence
from typing import Any

import orjson

Row = dict[str, Any]
# pyarrow takes a while to import, and only who reads or writes rollouts needs it
COLUMNS = {
    "step": "int32",
    "index": "int32",
    "group": "int32",
    "prompt": "string",  # JSON, as all that is nested
    "item": "string",
    "completion": "string",
    "turns": "string",  # of a rollout with tools: every message after the prompt
    "reward": "float64",
    "scores": "string",
    "advantage": "float64",
    "kl": "float64",  # nats from where the policy began; null where it is not computed
    "tokens": "int32",
    "stop_reason": "string",
    "printed": "string",
    "errors": "string",
    "reward_version": "int32",
}
NESTED = ("prompt", "item", "turns", "scores", "errors")
ADDED: Row = {"turns": []}  # columns that rollouts of earlier versions lack


def row(step: int, index: int, rollout: Row, score: Row, version: int | None) -> Row:
    """One rollout as it is stored; without advantage and KL where they are not known yet.

    index: within the step. version: of the rewards; a reward model has none.
    """
    return {
        "step": step,
        "index": index,
        "group": rollout["group"],
        "prompt": rollout["messages"],
        "item": rollout["item"],
        "completion": rollout["completion"],
        "turns": rollout.get("turns", []),
        "reward": score["reward"],
        "scores": score["scores"],
        "advantage": rollout.get("advantage"),
        "kl": rollout.get("kl"),
        "tokens": rollout["tokens"],
        "stop_reason": rollout["stop_reason"],
        "printed": score.get("printed", ""),
        "errors": score.get("errors", {}),
        "reward_version": version,
    }


def identity(each: Row) -> str:
    return f"rollout-{each['step']}-{each['index']}"


def to_parquet(rows: Sequence[Row]) -> bytes:
    flat = [{**each, **{name: orjson.dumps(each[name]).decode() for name in NESTED}} for each in rows]
    out = io.BytesIO()
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema({name: getattr(pyarrow, kind)() for name, kind in COLUMNS.items()})
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(flat, schema=schema), out, compression="zstd")
    return out.getvalue()


def from_parquet(content: bytes) -> list[Row]:
    import pyarrow.parquet

    # `read_table` would import pyarrow.dataset and start threads, ten times the work, in every fork that reads a chunk
    table = pyarrow.parquet.ParquetFile(io.BytesIO(content), pre_buffer=False).read(use_threads=False)
    rows: list[Row] = table.to_pylist()
    return [{**ADDED, **each, **{name: orjson.loads(each[name]) for name in NESTED if name in each}} for each in rows]
