"""`make demo`: the whole road in a few minutes, on this machine, with the plain `openai` client.

Starts Fettle, uploads word problems, trains the starter model to reason before it answers, measures it against its
base on problems that neither has seen, and chats with both. KEEP=1 leaves it serving until Ctrl-C.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
from openai import OpenAI
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from examples.evaluation import Score, ask, evaluate, right
from examples.word_problems import Problem, Split, problems
from fettle.progress import watch

BASE = "starter"
TRAINING_ROWS, VALIDATION_ROWS, EXAM = 1200, 60, 200
SEED = 1

console = Console()


def main() -> None:
    started = time.monotonic()
    data = Path(os.environ.get("FETTLE_DATA", ".fettle"))
    port = int(os.environ.get("FETTLE_PORT") or free_port(8000))
    console.rule("[bold]Fettle: from word problems to a model that reasons")
    for sign in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, signal.default_int_handler)  # however we are ended, the server ends with us
    server = start_server(data, port)
    try:
        wait_until_ready(server, port)
        client = OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=(data / "admin.key").read_text().strip())
        tuned = train(client)
        scores = examine(client, tuned)
        converse(client, tuned)
        say_what_came_out(scores, tuned)
        console.print(f"\n{time.monotonic() - started:.0f} seconds in all.")
        console.print(f"URL  http://127.0.0.1:{port}/v1\nkey  {data / 'admin.key'}", highlight=False)
        if os.environ.get("KEEP", "") not in ("", "0"):
            console.print("\nServing until Ctrl-C.")
            server.wait()
        else:
            console.print(f"\nStopped. To serve it again: [bold]make up[/] (FETTLE_DATA={data}).", highlight=False)
    except KeyboardInterrupt:
        console.print("stopping")
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def free_port(wanted: int) -> int:
    """`wanted`, or any other when that one is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise SystemExit("no free port on 127.0.0.1")


def start_server(data: Path, port: int) -> "subprocess.Popen[bytes]":
    env = {**os.environ, "FETTLE_DATA": str(data), "FETTLE_PORT": str(port)}
    return subprocess.Popen([sys.executable, "-m", "fettle", "up"], env=env, start_new_session=True)


def wait_until_ready(server: "subprocess.Popen[bytes]", port: int) -> None:
    while server.poll() is None:
        try:
            states = httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).json()
            if all(state == "ok" for state in states.values()):
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise SystemExit("fettle up did not start; what it said stands above")


def dataset(split: Split, rows: int) -> bytes:
    taken = islice(problems(split, SEED), rows)
    return "\n".join(json.dumps(problem.row("reasoned")) for problem in taken).encode()


def train(client: OpenAI) -> str:
    """Uploads, creates the job, shows it until it ends; returns the tuned model's name."""
    training = client.files.create(file=("word_problems.jsonl", dataset("train", TRAINING_ROWS)), purpose="fine-tune")
    held_out = client.files.create(file=("held_out.jsonl", dataset("held_out", VALIDATION_ROWS)), purpose="fine-tune")
    console.print(f"\n[bold]Lesson: show it how[/]  SFT on {TRAINING_ROWS} reasoned answers")
    job = client.fine_tuning.jobs.create(
        model=BASE,
        training_file=training.id,
        validation_file=held_out.id,
        suffix="reasoner",
        seed=SEED,
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 16}}},
    )
    watch(follow(client, job.id), console)
    job = client.fine_tuning.jobs.retrieve(job.id)
    if job.fine_tuned_model is None:
        raise SystemExit(f"the job {job.status}: {job.error}")
    return job.fine_tuned_model


def follow(client: OpenAI, job_id: str) -> Iterator[dict[str, Any]]:
    """A job's events as they come, oldest first, until it has ended."""
    seen: set[str] = set()
    while True:
        ended = client.fine_tuning.jobs.retrieve(job_id).status in ("succeeded", "failed", "cancelled")
        fresh = []
        for event in client.fine_tuning.jobs.list_events(job_id, limit=100):  # newest first, page after page
            if event.id in seen:
                break
            fresh.append(event)
        for event in reversed(fresh):
            seen.add(event.id)
            yield event.model_dump()
        if ended:
            return
        time.sleep(0.3)


def exam() -> list[Problem]:
    return list(islice(problems("held_out", SEED + 1), EXAM))


def examine(client: OpenAI, tuned: str) -> dict[str, Score]:
    """The same held-out problems for both."""
    with Progress(console=console, transient=True) as bar:
        scores = {}
        for model in (BASE, tuned):
            task = bar.add_task(f"examining {model}", total=EXAM)
            scores[model] = evaluate(client, model, exam(), lambda task=task: bar.advance(task))
    return scores


def converse(client: OpenAI, tuned: str) -> None:
    problem = next(problem for problem in exam() if len(problem.steps) == 2)
    console.print(f"\n[bold]{problem.question}[/]", highlight=False)
    for name, model in (("base", BASE), ("tuned", tuned)):
        reply = ask(client, model, problem.question)
        sign = "[green]✓[/]" if right(problem, reply) else "[red]✗[/]"
        console.print(f"  {name:6} {sign} ", end="")
        console.print(reply, markup=False, highlight=False)


def say_what_came_out(scores: dict[str, Score], tuned: str) -> None:
    table = Table("", "right answers", "reasoned", title=f"{EXAM} held-out problems", title_justify="left", box=None)
    for name, model in (("base", BASE), ("tuned", tuned)):
        table.add_row(f"{name}  {model}", f"{scores[model].accuracy:.0%}", f"{scores[model].reasoned:.0%}")
    console.print()
    console.print(table)


if __name__ == "__main__":
    main()
