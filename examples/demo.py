"""`make demo`: one base model, two lessons, in a few minutes on this machine, with the plain `openai` client.

Starts Fettle and teaches the starter model twice, from the same base: by answers that show their reasoning (SFT), and
by rewards alone, with no answer shown (GRPO). Then all three answer the same held-out problems. KEEP=1 leaves it
serving until Ctrl-C.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from examples import grpo
from examples.evaluation import Score, ask, evaluate, right
from examples.running import upload
from examples.word_problems import Problem, Split, problems
from fettle.cli import sign_in
from fettle.cli.job_progress import watch
from fettle.cli.terminal import inside_markup, plain, printable
from fettle.settings import Settings

BASE = "starter"
SHOWN_ROWS, PROMPTS, VALIDATION_ROWS, EXAM = 800, 400, 60, 200
SEED = 1
BLOCKS = "▁▂▃▄▅▆▇█"
CURVES = {  # what lesson 2 is shown to have changed: its metrics' names, and how they are written
    "train_reward_mean": ("reward", "{:.2f}"),
    "rewards/answer_correct/mean": ("right", "{:.0%}"),
    "rewards/think_format/mean": ("reasoned", "{:.0%}"),
    "completion_length_mean": ("tokens", "{:.0f}"),
}
NEXT = {
    "examples.dpo": "lesson 3: of two answers, the better one",
    "examples.rlhf": "lesson 4: rankings, a reward model, and PPO against it",
    "examples.grpo": "lesson 2 again: change its rewards first",
}

console = Console(highlight=False)


@dataclass(frozen=True)
class Pupil:
    """A model, what it was taught by, its marks, and the seconds of its training job."""

    name: str
    model: str
    score: Score
    seconds: float = 0.0


def main() -> None:
    started = time.monotonic()
    data = Path(os.environ.get("FETTLE_DATA", ".fettle"))
    port = int(os.environ.get("FETTLE_PORT") or free_port(8000))
    console.rule("[bold]Fettle: one base model, two lessons")
    for sign in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, signal.default_int_handler)  # however we are ended, the server ends with us
    server = start_server(data, port)
    try:
        wait_until_ready(server, port)
        client = OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=(data / "admin.key").read_text().strip())
        pupils = [meet_the_base(client), shown_how(client), told_what_is_right(client)]
        compare(client, pupils)
        console.print(f"\n{time.monotonic() - started:.0f} seconds in all.")
        say_what_next(data, port, kept := os.environ.get("KEEP", "") not in ("", "0"))
        if kept:
            server.wait()
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


def meet_the_base(client: OpenAI) -> Pupil:
    headline("The pupil", f"{BASE}, a base model that blurts its answers")
    say("It already can reason: made to begin with <think>, it gets 99.7 % right. The lessons make it do so unasked.")
    return examined(client, Pupil("base", BASE, Score(0, 0)))


def shown_how(client: OpenAI) -> Pupil:
    headline("Lesson 1: show it how", f"SFT on {SHOWN_ROWS:,} questions with reasoned answers")
    method = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 16}}}
    return taught(client, "SFT", "shown", dataset("train", SHOWN_ROWS), dataset("held_out", VALIDATION_ROWS), method)


def told_what_is_right(client: OpenAI) -> Pupil:
    headline("Lesson 2: only tell it what is right", f"GRPO on {PROMPTS} questions, from the same base")
    say("It sees no answers. It tries each question 8 times; a right number earns 1.0, thinking first 0.2.")
    method = {
        "type": "reinforcement",
        "reinforcement": {
            "reward_functions": grpo.REWARDS,
            "hyperparameters": {"n_epochs": 1, "max_completion_tokens": 40},
        },
    }
    return taught(
        client, "GRPO", "rewarded", questions("train", PROMPTS), questions("held_out", VALIDATION_ROWS), method
    )


def taught(client: OpenAI, name: str, suffix: str, training: bytes, held_out: bytes, method: Any) -> Pupil:
    """One lesson from the base, shown as it goes on; then the exam."""
    started = time.monotonic()
    job = client.fine_tuning.jobs.create(
        model=BASE,
        training_file=upload(client, "word_problems.jsonl", training),
        validation_file=upload(client, "held_out.jsonl", held_out),
        suffix=suffix,
        seed=SEED,
        method=method,
    )
    watch(follow(client, job.id), console)
    job = client.fine_tuning.jobs.retrieve(job.id)
    if job.fine_tuned_model is None:
        raise SystemExit(printable(f"the job {job.status}: {job.error}"))
    seconds = time.monotonic() - started
    if name == "GRPO":
        show_attempts(client, job)
    return examined(client, Pupil(name, job.fine_tuned_model, Score(0, 0), seconds))


def dataset(split: Split, rows: int) -> bytes:
    """Questions with reasoned answers."""
    taken = islice(problems(split, SEED), rows)
    return "\n".join(json.dumps(problem.row("reasoned")) for problem in taken).encode()


def questions(split: Split, rows: int) -> bytes:
    """Questions, and the answer for whoever grades."""
    return b"".join(grpo.rows(rows, split, SEED))


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


def show_attempts(client: OpenAI, job: FineTuningJob) -> None:
    """How its rewards rose, and what it wrote at the start, in the middle and at the end: the middle one by reward."""
    metrics: Any = client.get(f"/fine_tuning/jobs/{job.id}/metrics", cast_to=object)
    for name, (label, form) in CURVES.items():
        values = [value for value in metrics["columns"][name] if value is not None]
        ends = f"{form.format(values[0])} → {form.format(values[-1])}"
        console.print(f"  {inside_markup(f'{label:9}')}[green]{curve(values)}[/]  {ends}")
    say("What it wrote as it learned:")
    (last,) = grpo.rollouts(client, job.id, sort="-step", limit=1)
    for step in (1, last["step"] // 2, last["step"]):
        attempts = grpo.rollouts(client, job.id, step=step, limit=100)
        usual = sorted(attempts, key=lambda attempt: attempt["reward"] or 0.0)[len(attempts) // 2]
        console.print(f"  step {step:2}  reward {usual['reward']:.1f}  ", end="")
        console.print(plain(usual["completion"]))


def curve(values: list[float]) -> str:
    """A block a step, from the lowest to the highest value."""
    low, high = min(values), max(values)
    return "".join(BLOCKS[round((value - low) / ((high - low) or 1) * (len(BLOCKS) - 1))] for value in values)


def exam() -> list[Problem]:
    return list(islice(problems("held_out", SEED + 1), EXAM))


def examined(client: OpenAI, pupil: Pupil) -> Pupil:
    """With its marks: the same held-out problems for all."""
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(f"{EXAM} held-out problems", total=EXAM)
        score = evaluate(client, pupil.model, exam(), lambda: bar.advance(task))
    console.print(
        f"[bold]→ {score.accuracy:.0%}[/] of {EXAM} held-out problems right, {score.reasoned:.0%} reasoned first"
        + (f"  [dim]after {pupil.seconds:.0f} s[/]" if pupil.seconds else "")
    )
    return replace(pupil, score=score)


def compare(client: OpenAI, pupils: list[Pupil]) -> None:
    """Their marks, and what each says to one problem of two steps that the base gets wrong."""
    table = Table("", "right", "reasoned", "taught in", "model", box=None, pad_edge=False)
    for pupil in pupils:
        seconds = f"{pupil.seconds:.0f} s" if pupil.seconds else "–"
        table.add_row(
            pupil.name, f"{pupil.score.accuracy:.0%}", f"{pupil.score.reasoned:.0%}", seconds, plain(pupil.model)
        )
    headline("The same exam for all", f"{EXAM} problems that none has seen")
    console.print(table)
    hard = [problem for problem in exam() if len(problem.steps) == 2]
    problem = next((each for each in hard if not right(each, ask(client, BASE, each.question))), hard[0])
    headline("One of them, side by side", "")
    console.print(plain(problem.question))
    for pupil in pupils:
        reply = ask(client, pupil.model, problem.question)
        sign = "[green]✓[/]" if right(problem, reply) else "[red]✗[/]"
        console.print(f"  {pupil.name:5}{sign} ", end="")
        console.print(plain(reply))


def say_what_next(data: Path, port: int, kept: bool) -> None:
    headline("What to try next", "" if kept else "the models stay in " + str(data))
    url, key = f"http://127.0.0.1:{port}/v1", data / "admin.key"
    if kept:
        settings = Settings(data=data, port=port)
        sign_in.check_page(settings)
        link = asyncio.run(sign_in.make_link(settings))
        console.print(f"[bold]{link}[/]  [dim]# both lessons in the browser[/]", soft_wrap=True)
        console.print("Serving until Ctrl-C. In another terminal:")
    else:
        console.print(f"FETTLE_DATA={data} FETTLE_PORT={port} make up   # serves them again; then:", soft_wrap=True)
    console.print(f'export OPENAI_BASE_URL={url} OPENAI_API_KEY="$(cat {key})"', soft_wrap=True)
    python = Path(sys.executable)
    shown = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
    for script, what in NEXT.items():
        console.print(f"{shown} -m {script:21} [dim]# {what}[/]", soft_wrap=True)
    console.print("[dim]Your own rows and rewards: docs/datasets.md, docs/rewards.md[/]")


def headline(title: str, rest: str) -> None:
    console.print(f"\n[bold cyan]{title}[/]  {rest}")


def say(sentence: str) -> None:
    console.print(f"[dim]{sentence}[/]")


if __name__ == "__main__":
    main()
