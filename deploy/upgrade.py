"""An upgrade as an operator makes it: an earlier commit trains and pauses, this tree migrates, resumes and serves.

    python -m deploy.upgrade 095d9af

The earlier commit is taken from this repository's history and runs with this environment's packages. Then its API
runs on the new schema, as after a rollback of the code.
"""

import argparse
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from examples.word_problems import problems
from fettle.cli.up import free_port

ROOT = Path(__file__).parent.parent
WAIT_SECONDS = 600
ROWS = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", help="what is upgraded from")
    with tempfile.TemporaryDirectory(prefix="fettle-upgrade-") as folder:
        rehearse(parser.parse_args().commit, Path(folder))


def rehearse(commit: str, folder: Path) -> None:
    old, data = folder / "old", folder / "data"
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(old, filter="data")
    print(f"Fettle of {commit}")
    with service(old, data) as api:
        done, waiting = job(api, epochs=2), job(api, epochs=8)
        until(lambda: state(api, done)["status"] == "succeeded", "the first job to succeed")
        until(lambda: checkpoints(api, waiting) != [], "the second job's checkpoint")
        api.post(f"/v1/fine_tuning/jobs/{waiting}/pause").raise_for_status()
        until(lambda: state(api, waiting)["status"] == "paused", "the second job to pause")
        said = {name: answer(api, name) for name in models(api)}
        print(f"{done} succeeded, {waiting} is paused, {len(said)} models answer")
    print("This tree")
    print(fettle(ROOT, data, "migrate").strip())
    with service(ROOT, data) as api:
        again = {name: answer(api, name) for name in models(api)}
        if again != said:
            raise SystemExit(f"The models do not answer as before. Before: {said}. Now: {again}.")
        print(f"{len(again)} models answer as they did before")
        api.post(f"/v1/fine_tuning/jobs/{waiting}/resume").raise_for_status()
        until(lambda: state(api, waiting)["status"] in ("succeeded", "failed"), "the second job to end")
        if (ended := state(api, waiting))["status"] != "succeeded":
            raise SystemExit(f"The resumed job failed: {ended['error']}")
        said = {name: answer(api, name) for name in models(api)}
        print(f"{waiting} resumed and succeeded, {len(said)} models answer")
    print(f"The API of {commit} on the new schema")
    with process(old, data, "-m", "api") as api:
        states = ", ".join(state(api, each)["status"] for each in (done, waiting))
        print(f"it reads {len(models(api))} models and both jobs: {states}")


@contextlib.contextmanager
def service(tree: Path, data: Path) -> Iterator[httpx.Client]:
    with process(tree, data, "-m", "fettle", "up") as api:
        until(lambda: all(word == "ok" for word in api.get("/readyz").json().values()), "every part to be ready")
        yield api


@contextlib.contextmanager
def process(tree: Path, data: Path, *command: str) -> Iterator[httpx.Client]:
    port = free_port()
    with (data.parent / "log").open("ab") as log:
        env = environment(data) | {"FETTLE_PORT": str(port)}
        running = subprocess.Popen([sys.executable, *command], cwd=tree, env=env, stdout=log, stderr=log)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False)
    try:
        until(lambda: running.poll() is not None or healthy(client), "the API")
        if running.poll() is not None:
            raise SystemExit(f"{' '.join(command)} ended in {tree}:\n{(data.parent / 'log').read_text()[-3000:]}")
        client.headers["Authorization"] = f"Bearer {(data / 'admin.key').read_text().strip()}"
        yield client
    finally:
        client.close()
        running.send_signal(signal.SIGINT)
        running.wait(120)


def environment(data: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FETTLE_")}
    return kept | {"FETTLE_DATA": str(data), "FETTLE_THREADS": "1"}


def fettle(tree: Path, data: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "fettle", *command], cwd=tree, env=environment(data), capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"fettle {' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def healthy(api: httpx.Client) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return api.get("/healthz").is_success
    return False


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"Waited {WAIT_SECONDS} s for {what}.")
        time.sleep(0.2)


def job(api: httpx.Client, epochs: int) -> str:
    taken = [problem.row("reasoned") for problem, _ in zip(problems("train", 1), range(ROWS), strict=False)]
    content = "\n".join(map(json.dumps, taken)).encode()
    file = api.post("/v1/files", files={"file": ("train.jsonl", content)}, data={"purpose": "fine-tune"}).json()["id"]
    method = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": epochs, "batch_size": 8}}}
    body = {"model": "starter", "training_file": file, "seed": 11, "method": method}
    made: str = api.post("/v1/fine_tuning/jobs", json=body).raise_for_status().json()["id"]
    return made


def state(api: httpx.Client, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/v1/fine_tuning/jobs/{job_id}").raise_for_status().json()
    return found


def checkpoints(api: httpx.Client, job_id: str) -> list[Any]:
    return list(api.get(f"/v1/fine_tuning/jobs/{job_id}/checkpoints").raise_for_status().json()["data"])


def models(api: httpx.Client) -> list[str]:
    """Base, tuned models, and every checkpoint."""
    jobs = [each["id"] for each in api.get("/v1/fine_tuning/jobs").raise_for_status().json()["data"]]
    saved = [each["fine_tuned_model_checkpoint"] for each in (one for id in jobs for one in checkpoints(api, id))]
    return sorted({*(each["id"] for each in api.get("/v1/models").raise_for_status().json()["data"]), *saved})


def answer(api: httpx.Client, model: str) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": "2 + 2 ="}], "temperature": 0, "max_tokens": 12}
    said = api.post("/v1/chat/completions", json=body).raise_for_status().json()
    return str(said["choices"][0]["message"]["content"])


if __name__ == "__main__":
    main()
