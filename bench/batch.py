"""A batch beside live chats: what it costs those who wait for an answer, and how fast it goes.

    python -m bench.batch
    python -m bench.batch --rows 300

One user chats, one short answer after the other: first alone, then while the batch runs, until it has ended. Seconds
of a chat: from the request to the whole answer, on the wall, through the API.
"""

import argparse
import json
import time
from collections.abc import Callable
from itertools import cycle, islice
from statistics import median, quantiles
from typing import Any

from openai import OpenAI

from bench._server import server
from examples.word_problems import problems

ENDED = ("completed", "failed", "expired", "cancelled")
MOST = 1.5  # times the seconds of a chat that is alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--chats", type=int, default=100, help="chats without the batch")
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between two chats")
    options = parser.parse_args()
    questions = cycle(problem.question for problem in islice(problems("held_out", seed=1), 200))

    with server() as client:
        for _ in range(5):  # adapters, caches and connections are warm
            chat(client, next(questions))

        def chats(going: Callable[[int], bool]) -> list[float]:
            seconds: list[float] = []
            while going(len(seconds)):
                seconds.append(chat(client, next(questions)))
                time.sleep(options.pause)
            return seconds

        idle = chats(lambda done: done < options.chats)
        began = time.monotonic()
        batch = start(client, options.rows)
        beside = chats(lambda _: client.batches.retrieve(batch).status not in ENDED)
        took = time.monotonic() - began
        ended = client.batches.retrieve(batch)
    counts = ended.request_counts
    if ended.status != "completed" or counts is None or counts.completed != options.rows:
        raise SystemExit(f"the batch is {ended.status}: {counts}")
    print(f"{'':16}{'chats':>7}{'p50':>9}{'p95':>9}{'worst':>9}")
    for name, seconds in (("alone", idle), ("beside a batch", beside)):
        print(f"{name:16}{len(seconds):7}{median(seconds):7.3f} s{p95(seconds):7.3f} s{max(seconds):7.3f} s")
    times = p95(beside) / p95(idle)
    print(f"p95 beside the batch: {times:.2f} times as long; at most {MOST}. {options.rows} rows in {took:.1f} s")
    figures: dict[str, Any] = {
        "rows": options.rows,
        "batch_wall_seconds": round(took, 1),
        "chats_beside": len(beside),
        "alone_p50_seconds": round(median(idle), 4),
        "alone_p95_seconds": round(p95(idle), 4),
        "beside_p50_seconds": round(median(beside), 4),
        "beside_p95_seconds": round(p95(beside), 4),
        "p95_times": round(times, 2),
    }
    print(json.dumps(figures))


def chat(client: OpenAI, question: str) -> float:
    began = time.perf_counter()
    client.chat.completions.create(
        model="starter", messages=[{"role": "user", "content": question}], temperature=0, max_tokens=32
    )
    return time.perf_counter() - began


def start(client: OpenAI, rows: int) -> str:
    lines = [
        {
            "custom_id": f"row-{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "starter", "max_tokens": 32, "messages": [{"role": "user", "content": each.question}]},
        }
        for number, each in enumerate(islice(problems("train", seed=1), rows))
    ]
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    file = client.files.create(file=("batch.jsonl", content), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h").id


def p95(seconds: list[float]) -> float:
    return quantiles(seconds, n=20)[-1]


if __name__ == "__main__":
    main()
