"""Runs docker-compose.yml by Docker Compose, from the first start to a restored backup, and prints what it sees.

    python -m deploy.compose            with the images that `make images` built

Needs Docker with Compose v2, and port 8000 of this host. The compose file is used as it is, in a folder of its own with
a new .env. An image of others that cannot be pulled is replaced by one of Debian's PostgreSQL and Redis and moto's S3,
and the output says which. It ends with an error unless the restored service answers as the first one did.
"""

import json
import os
import secrets
import shlex
import shutil
import subprocess
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from openai import OpenAI

from deploy import container_engines
from deploy.container_engines import ROOT
from deploy.rehearsal import API, USER, WORKER, train_and_ask
from examples import evaluation, running, sft
from examples.word_problems import problems

STAND_IN = "fettle-stand-ins:trixie"
SECRETS = (
    "POSTGRES_PASSWORD",
    "REDIS_PASSWORD",
    "FETTLE_S3_ACCESS_KEY_ID",
    "FETTLE_S3_SECRET_ACCESS_KEY",
    "FETTLE_ENGINE_KEY",
    "FETTLE_SECRET",
)
URL = "http://127.0.0.1:8000/v1"
LONG = 40  # epochs of the job that a stopping worker interrupts
QUESTIONS = [problem.question for problem in islice(problems("held_out", seed=3), 4)]


def main() -> None:
    if not container_engines.works("docker"):
        raise SystemExit("Docker does not work here: start it, or as root on Debian: apt-get install docker.io")
    with tempfile.TemporaryDirectory(prefix="fettle-compose-") as name:
        folder = Path(name)
        shutil.copy(ROOT / "docker-compose.yml", folder)
        given = [f"{secret}={secrets.token_hex(24)}\n" for secret in SECRETS]
        (folder / ".env").write_text("COMPOSE_PROFILES=cpu\n" + "".join(given))
        (folder / "backup").mkdir()
        os.chown(folder / "backup", int(USER), int(USER))
        hand_over(folder)
        stand_in(folder)
        project = Project(folder)
        try:
            walk(project)
        finally:
            project.quietly("down", "--volumes")


class Project:
    """Commands of Docker Compose in a folder, each printed with what it says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hidden: list[str] = []

    def __call__(self, *words: str) -> str:
        print(self.hide(f"$ {shlex.join(words)}"), flush=True)
        done = subprocess.run(words, cwd=self.folder, capture_output=True, text=True, check=False)
        print(self.hide(done.stdout.rstrip() or done.stderr.rstrip()), flush=True)
        if done.returncode:
            logs = self.quietly("logs", "--tail", "30")
            raise SystemExit(f"It ended with {done.returncode}.\n{self.hide(done.stderr)}\n{self.hide(logs)}")
        return done.stdout.strip()

    def hide(self, text: str) -> str:
        for secret in self.hidden:
            text = text.replace(secret, "fk_…")
        return text

    def quietly(self, *words: str) -> str:
        command = ["docker", "compose", *words]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False).stdout

    def compose(self, *words: str) -> str:
        return self("docker", "compose", *words)

    def containers(self) -> dict[str, dict[str, Any]]:
        """By service, those that ended as well."""
        ids = self.quietly("ps", "--all", "--quiet").split()
        command = ["docker", "inspect", *ids]
        found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in found}


def hand_over(folder: Path) -> None:
    """The images that buildah built, to Docker, unless Docker has its own."""
    archive = folder / "image.tar"
    for tag in (API, WORKER):
        if here(tag):
            continue
        if not shutil.which("buildah") or not succeeds("buildah", "inspect", "--type", "image", tag):
            raise SystemExit(f"{tag} is not built yet. Run `make images`.")
        subprocess.run(["buildah", "push", "--quiet", tag, f"docker-archive:{archive}:{tag}"], check=True)
        subprocess.run(["docker", "load", "--quiet", "--input", str(archive)], check=True)
        archive.unlink()


def stand_in(folder: Path) -> None:
    """Writes the override that Compose reads beside its file, for the images that cannot be had."""
    services = yaml.safe_load((folder / "docker-compose.yml").read_text())["services"]
    images = {name: body["image"] for name, body in services.items() if "build" not in body}
    missing = {
        name: image for name, image in images.items() if not here(image) and not succeeds("docker", "pull", image)
    }
    if missing:
        subprocess.run([Path(__file__).parent / "stand_ins" / "make.sh", STAND_IN], check=True)
        override = {"services": {name: {"image": STAND_IN} for name in missing}}
        (folder / "docker-compose.override.yml").write_text(yaml.safe_dump(override))
    for name, image in missing.items():
        print(f"{name}: {image} cannot be pulled; {STAND_IN} stands in for it.")


def here(image: str) -> bool:
    return succeeds("docker", "image", "inspect", image)


def succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def walk(project: Project) -> None:
    compose = project.compose
    compose("version")
    compose("config", "--quiet")
    compose("up", "--detach", "--wait")
    compose("ps", "--all", "--format", "table {{.Service}}\t{{.Image}}\t{{.Status}}")
    confined(project)
    key = created_key(project)
    compose("exec", "api", "fettle", "doctor")
    compose("exec", "worker", "fettle", "doctor")
    client = OpenAI(base_url=URL, api_key=key)
    model = train_and_ask(client)
    compose("exec", "--env", f"FETTLE_API_KEY={key}", "api", "fettle", "chat", model, QUESTIONS[0])
    interrupted(project, client)
    answers = [evaluation.ask(client, model, question) for question in QUESTIONS]
    volume = f"{project.folder}/backup:/backup"
    compose("run", "--rm", "--volume", volume, "api", "fettle", "backup", "/backup")
    compose("down", "--volumes")
    compose("up", "--detach", "--wait", "postgres", "objectstore")
    compose("run", "--rm", "--no-deps", "--volume", volume, "api", "fettle", "restore", "/backup")
    compose("up", "--detach", "--wait")
    if (again := [evaluation.ask(client, model, question) for question in QUESTIONS]) != answers:
        raise SystemExit(f"The restored model does not answer as before. Before: {answers}. Now: {again}.")
    print(f"{model} answers {len(QUESTIONS)} questions as before the volumes were removed, and the key still works.")
    stopped(project)


def created_key(project: Project) -> str:
    words = ("docker", "compose", "exec", "api", "fettle", "keys", "create", "laptop")
    print(f"$ {shlex.join(words)}")
    key = subprocess.run(words, cwd=project.folder, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    project.hidden.append(key)
    print("fk_…")
    return key


def confined(project: Project) -> None:
    """What Docker itself says that it keeps Fettle's containers to."""
    for service, found in project.containers().items():
        if found["Config"]["Image"] in (API, WORKER):
            host = found["HostConfig"]
            memory = f"{host['Memory'] / 2**30:g} GiB" if host["Memory"] else "no limit"
            print(
                f"{service}: user {found['Config']['User']}, capabilities dropped: {host['CapDrop']}, "
                f"{host['SecurityOpt']}, read-only root: {host['ReadonlyRootfs']}, memory: {memory}"
            )


def interrupted(project: Project, client: OpenAI) -> None:
    """The worker is stopped while a job runs, and started again."""
    job = client.fine_tuning.jobs.create(
        model="starter",
        training_file=running.upload(client, "long.jsonl", sft.dataset("train", 64)),
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": LONG, "batch_size": 16}}},
    )
    while not any(event.message.startswith("Step ") for event in client.fine_tuning.jobs.list_events(job.id)):
        time.sleep(0.2)
    began = time.monotonic()
    project.compose("stop", "worker")
    status = client.fine_tuning.jobs.retrieve(job.id).status
    code = project.containers()["worker"]["State"]["ExitCode"]
    print(f"worker stopped after {time.monotonic() - began:.1f} s with exit code {code}; {job.id} is {status}")
    if code or status != "queued":
        raise SystemExit("A stopping worker must end by itself and return its job to the queue.")
    project.compose("start", "worker")
    ended = running.wait(client, job.id)
    print(f"{ended.id} {ended.status}")


def stopped(project: Project) -> None:
    """Every service ends by itself; Docker's SIGKILL would leave 137."""
    began = time.monotonic()
    project.compose("stop")
    print(f"everything stopped after {time.monotonic() - began:.1f} s, in this order:")
    states = {service: found["State"] for service, found in project.containers().items() if service != "migrate"}
    for service in sorted(states, key=lambda service: states[service]["FinishedAt"]):
        print(f"  {service}: exit code {states[service]['ExitCode']}")
    if failed := [service for service, state in states.items() if state["ExitCode"]]:
        raise SystemExit(f"These did not end by themselves: {', '.join(failed)}")


if __name__ == "__main__":
    main()
