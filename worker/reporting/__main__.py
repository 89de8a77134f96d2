"""python -m worker.reporting: hands one job's metrics to one integration, and never holds up its supervisor.

JSON lines on stdin: `begin`, then `metrics`, `flush` and `end`. The end of the stream without `end` is an interruption.
Answers on stdout: `begun`, `flushed`, or `failed` as the last line.
"""

import os
import queue
import signal
import sys
import threading
from pathlib import Path
from typing import IO, Any

import orjson

from fettle.host import users
from worker.reporting.reporters import REPORTERS, Line, Reporter, Run

END_SECONDS = 60  # for what is still to be sent when the job has ended; then the process is gone, whatever it waits for

LONGEST_MESSAGE = 300  # the supervisor reads lines, and shows it in an event


def main() -> None:
    users.conceal()
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # the libraries print as they like
    try:
        serve(out)
    except Exception as error:  # told in a line, and raised again
        tell(out, type="failed", message=f"{type(error).__name__}: {error}"[:LONGEST_MESSAGE])
        raise


def serve(out: IO[bytes]) -> None:
    lines: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(lines,), daemon=True).start()
    begin = lines.get()
    if begin is None:
        return
    reporter = REPORTERS[begin["kind"]]()
    where = reporter.begin(Run(**{**begin["run"], "folder": Path(begin["run"]["folder"])}))
    tell(out, type="begun", where=where)
    while True:
        batch = [lines.get()]
        while not lines.empty():
            batch.append(lines.get())
        for line in batched(batch):
            match line:
                case list():
                    reporter.log(line)
                case {"type": "flush"}:
                    tell(out, type="flushed", files=[str(path) for path in reporter.flush()])
                case _:
                    end(reporter, line["status"] if line else "interrupted")
                    return


def end(reporter: Reporter, status: str) -> None:
    signal.alarm(END_SECONDS)
    reporter.end(status)


def batched(batch: list[dict[str, Any] | None]) -> list[Any]:
    """Neighbouring metrics as one list of lines; the rest as it came."""
    found: list[Any] = []
    for line in batch:
        if line is None or line["type"] != "metrics":
            found.append(line)
            continue
        if not (found and isinstance(found[-1], list)):
            found.append([])
        found[-1].append(Line(line["step"], line["data"], line.get("old", False)))
    return found


def listen(lines: "queue.SimpleQueue[dict[str, Any] | None]") -> None:
    for line in sys.stdin.buffer:
        lines.put(orjson.loads(line))
    lines.put(None)


def tell(out: IO[bytes], **line: Any) -> None:
    try:
        out.write(orjson.dumps(line) + b"\n")
    except BrokenPipeError:  # the worker is gone; what it asked for is still worth sending
        return


if __name__ == "__main__":
    main()
