"""`make demo`: one base model, two lessons, in a few minutes on this machine, by commands that you can repeat.

Starts Fettle and teaches the starter model twice, from the same base: by answers that show their reasoning (SFT), and
by rewards alone, with no answer shown (GRPO). Every command is shown before it runs. Then all three models answer the
same held-out problems, asked through the plain `openai` client. KEEP=1 leaves it serving until Ctrl-C, with a
comparison of the base and the rewarded model that waits for your votes in the browser.
"""

import asyncio
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
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
from examples.word_problems import Problem, problems
from fettle.cli import sign_in
from fettle.cli.terminal import inside_markup, plain
from fettle.settings import Settings

BASE = "starter"
SHOWN_ROWS, PROMPTS, VALIDATION_ROWS, EXAM = 800, 400, 60, 200
SEED = 1
ASKED = 12  # items of the comparison that waits for votes; a job takes ten or more
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


class Shell:
    """Shows commands as a reader types them, and runs them. Files lie in the data folder."""

    def __init__(self, data: Path, url: str, key: str) -> None:
        self.folder = data / "demo"
        self.folder.mkdir(exist_ok=True)
        self.env = {**os.environ, "FETTLE_DATA": str(data), "FETTLE_URL": url, "FETTLE_API_KEY": key}

    def rows(self, name: str, count: int, options: str = "") -> str:
        """Problems in a file of that name, the same for each run; the file as a shell reads it."""
        command = f"examples.word_problems --rows {count} --seed {SEED} {options}".rstrip()
        file = self.folder / name
        quoted = shlex.quote(str(file))
        show_command(f"{python()} -m {command} > {quoted}")
        with file.open("w") as out:
            subprocess.run([sys.executable, "-m", *shlex.split(command)], stdout=out, check=True)
        return quoted

    def fettle(self, command: str) -> None:
        """Raises SystemExit when it fails; it has said why."""
        show_command(f"{python().with_name('fettle')} {command}")
        sys.stdout.flush()
        if code := subprocess.run([sys.executable, "-m", "fettle", *shlex.split(command)], env=self.env).returncode:
            raise SystemExit(code)


def python() -> Path:
    """The interpreter, from here."""
    found = Path(sys.executable)
    return found.relative_to(Path.cwd()) if found.is_relative_to(Path.cwd()) else found


def show_command(command: str) -> None:
    console.print(f"[green]$[/] {inside_markup(command)}", soft_wrap=True)


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
        url, key = f"http://127.0.0.1:{port}", (data / "admin.key").read_text().strip()
        client, shell = OpenAI(base_url=f"{url}/v1", api_key=key), Shell(data, url, key)
        pupils = [meet_the_base(client), shown_how(shell, client), told_what_is_right(shell, client)]
        compare(client, pupils)
        console.print(f"\n{time.monotonic() - started:.0f} seconds in all.")
        kept = os.environ.get("KEEP", "") not in ("", "0")
        if kept:
            ask_for_votes(client, pupils[0].model, pupils[-1].model)
        say_what_next(data, port, pupils, kept)
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
    with httpx.Client(trust_env=False) as http:
        while server.poll() is None:
            try:
                if all(state == "ok" for state in http.get(f"http://127.0.0.1:{port}/readyz").json().values()):
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.2)
    raise SystemExit("fettle up did not start; what it said stands above")


def meet_the_base(client: OpenAI) -> Pupil:
    headline("The pupil", f"{BASE}, a base model that blurts its answers")
    say("It already can reason: made to begin with <think>, it gets 99.7 % right. The lessons make it do so unasked.")
    return examined(client, Pupil("base", BASE, Score(0, 0)))


def shown_how(shell: Shell, client: OpenAI) -> Pupil:
    headline("Lesson 1: show it how", f"SFT on {SHOWN_ROWS:,} questions with reasoned answers")
    rows = shell.rows("shown.jsonl", SHOWN_ROWS)
    unseen = shell.rows("held_out.jsonl", VALIDATION_ROWS, "--split held_out")
    options = f"--epochs 2 --batch-size 16 --seed {SEED} --suffix shown --watch"
    return taught(shell, client, "SFT", f"train {rows} --valid {unseen} --base {BASE} {options}")


def told_what_is_right(shell: Shell, client: OpenAI) -> Pupil:
    headline("Lesson 2: only tell it what is right", f"GRPO on {PROMPTS} questions, from the same base")
    say("It sees no answers. It tries each question 8 times; a right number earns 1.0, thinking first 0.2.")
    rows = shell.rows("prompts.jsonl", PROMPTS, "--style question")
    unseen = shell.rows("held_out_prompts.jsonl", VALIDATION_ROWS, "--style question --split held_out")
    rewards = "--reward answer_correct --reward think_format=0.2"
    options = f"--epochs 1 --set max_completion_tokens=40 --seed {SEED} --suffix rewarded --watch"
    return taught(shell, client, "GRPO", f"train {rows} --valid {unseen} --base {BASE} {rewards} {options}")


def taught(shell: Shell, client: OpenAI, name: str, command: str) -> Pupil:
    """One lesson from the base, shown as it goes on; then the exam."""
    started = time.monotonic()
    shell.fettle(command)
    seconds = time.monotonic() - started
    job = next(iter(client.fine_tuning.jobs.list(limit=1)))
    if name == "GRPO":
        show_attempts(client, job)
    return examined(client, Pupil(name, str(job.fine_tuned_model), Score(0, 0), seconds))


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


def ask_for_votes(client: OpenAI, *models: str) -> str:
    """A comparison of the models that is ready for votes; its id."""
    body = {
        "name": "Which answer is better?",
        "models": list(models),
        "prompts": [problem.question for problem in islice(problems("held_out", SEED + 2), ASKED)],
        "n": len(models),
        "mode": "pick",
        "instructions": "Pick the answer that is **right**. If both are, pick the one that shows how it was found.",
        "sampling": {"temperature": 0, "max_completion_tokens": 40},  # with chance, the base reasons at times, too
    }
    made: Any = client.post("/comparisons", body=body, cast_to=object)
    while made["status"] == "generating":
        time.sleep(0.5)
        made = client.get(f"/comparisons/{made['id']}", cast_to=object)
    return str(made["id"])


def say_what_next(data: Path, port: int, pupils: list[Pupil], kept: bool) -> None:
    headline("What to try next", "" if kept else "the models stay in " + str(data))
    if kept:
        settings = Settings(data=data, port=port)
        sign_in.check_page(settings)
        link = asyncio.run(sign_in.make_link(settings))
        console.print(f"[bold]{link}[/]", soft_wrap=True)
        console.print("[dim]# signs your browser in: a comparison waits for your votes, and Learn has five lessons[/]")
        console.print("Serving until Ctrl-C. In another terminal:")
    else:
        console.print(f"FETTLE_DATA={data} FETTLE_PORT={port} make up", soft_wrap=True)
        console.print(
            f"[dim]# serves them again and prints a link that signs you in to http://127.0.0.1:{port}/; then:[/]"
        )
    url, key = f"http://127.0.0.1:{port}", data / "admin.key"
    fettle = python().with_name("fettle")
    console.print(f'export FETTLE_URL={url} FETTLE_API_KEY="$(cat {key})"', soft_wrap=True)
    console.print(f"{fettle} chat {inside_markup(pupils[-1].model)} [dim]# /base compares[/]", soft_wrap=True)
    console.print(f'export OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY="$(cat {key})"', soft_wrap=True)
    for script, what in NEXT.items():
        console.print(f"{python()} -m {script:21} [dim]# {what}[/]", soft_wrap=True)
    console.print("[dim]Your own rows and rewards: docs/datasets.md, docs/rewards.md[/]")


def headline(title: str, rest: str) -> None:
    console.print(f"\n[bold cyan]{title}[/]  {rest}")


def say(sentence: str) -> None:
    console.print(f"[dim]{sentence}[/]")


if __name__ == "__main__":
    main()
