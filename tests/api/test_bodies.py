"""A real API process against clients that send too much, too slowly, or without end: its memory stays flat."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import openai
import psutil
import pytest
from starlette.types import Message

from api.edge import middleware
from fettle.cli.up import free_port
from tests.api.asgi import GONE, chunk, exchange
from tests.api.tenants import Tenant

MB = 1 << 20
FORM = b"POST /v1/files HTTP/1.1\r\nhost: fettle\r\ncontent-type: multipart/form-data; boundary=b\r\n"


class Process:
    def __init__(self, port: int, key: str, pid: int) -> None:
        self.port, self.key, self.pid = port, key, pid

    @property
    def rss(self) -> int:
        return int(psutil.Process(self.pid).memory_info().rss)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    port = free_port()
    env = {
        **os.environ,
        "FETTLE_DATA": str(tmp_path_factory.mktemp("bodies")),
        "FETTLE_PORT": str(port),
        "FETTLE_ALLOWED_HOSTS": "fettle",
    }
    fettle = [sys.executable, "-m", "fettle"]
    subprocess.run([*fettle, "migrate"], env=env, check=True, stdout=subprocess.DEVNULL)
    key = subprocess.run([*fettle, "keys", "create", "test"], env=env, check=True, capture_output=True, text=True)
    with subprocess.Popen([sys.executable, "-m", "api"], env=env, stderr=subprocess.DEVNULL) as running:
        while not answers(port):
            assert running.poll() is None
            time.sleep(0.05)
        yield Process(port, key.stdout.strip(), running.pid)
        running.terminate()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").is_success
    except httpx.TransportError:
        return False


def push(connection: socket.socket, total: int, block: bytes = b"x" * 65536) -> int:
    """Sends until all is sent or the server has closed; the bytes that went out."""
    sent = 0
    try:
        while sent < total:
            sent += connection.send(block)
    except OSError:
        pass
    return sent


@pytest.mark.slow
class TestStrangers:
    @pytest.mark.parametrize(
        "length",
        [b"content-length: %d\r\n" % (600 * MB), b"transfer-encoding: chunked\r\n"],
        ids=["declared", "chunked"],
    )
    def test_600_mb_without_a_key_are_refused_before_a_byte_and_memory_stays_flat(
        self, process: Process, length: bytes
    ) -> None:
        before = process.rss
        with process.connect() as connection:
            connection.sendall(FORM + length + b"\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")
            sent = push(connection, 600 * MB)
        assert sent < 8 * MB  # what the two sockets hold; the server reads none of it
        assert process.rss - before < 8 * MB

    def test_the_sdk_is_told_401_although_the_connection_is_closed_under_it(self, process: Process) -> None:
        with openai.OpenAI(api_key="fk_wrong", base_url=f"http://127.0.0.1:{process.port}/v1", max_retries=0) as client:
            for _ in range(5):
                with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
                    client.files.create(file=b"x" * 30 * MB, purpose="fine-tune")

    def test_headers_without_end_are_cut_off(self, process: Process) -> None:
        before = process.rss
        with process.connect() as connection:
            connection.sendall(b"GET /v1/models HTTP/1.1\r\nhost: fettle\r\n")
            sent = push(connection, 200 * MB, b"x-padding: " + b"x" * 60_000 + b"\r\n")
        assert sent < 16 * MB
        assert process.rss - before < 8 * MB


@pytest.mark.slow
class TestKeyHolders:
    def test_a_json_body_over_its_cap_is_cut_off_in_flight(self, process: Process) -> None:
        before = process.rss
        head = b"POST /v1/fine_tuning/jobs HTTP/1.1\r\nhost: fettle\r\ncontent-type: application/json\r\n"
        with process.connect() as connection:
            connection.sendall(head + b"authorization: Bearer " + process.key.encode() + b"\r\n")
            connection.sendall(b"transfer-encoding: chunked\r\n\r\n")
            for _ in range(300):
                try:
                    connection.sendall(b"100000\r\n" + b" " * MB + b"\r\n")
                except OSError:
                    break
            else:
                pytest.fail("300 MB were taken")
            assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
        assert process.rss - before < 24 * MB  # the cap is 4 MB, held and copied once


class TestSlowBodies:
    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(middleware, "STALL_SECONDS", 0.1)
        monkeypatch.setattr(middleware, "BODY_SECONDS", 0.3)

    @pytest.mark.parametrize("path", ["/v1/fine_tuning/jobs", "/v1/files"])
    async def test_a_body_that_stops_coming_is_408(self, tenant: Tenant, path: str) -> None:
        async def stopping() -> AsyncIterator[Message]:
            yield chunk(b"--b\r\n")
            await asyncio.sleep(10)
            yield GONE

        kind = "multipart/form-data; boundary=b" if path == "/v1/files" else "application/json"
        headers = {"authorization": tenant.http.headers["authorization"], "content-type": kind, "content-length": "500"}
        done = await exchange(tenant.api.app, "POST", path, headers, stopping())
        assert (done.status, done.headers["connection"]) == (408, "close")
        assert json.loads(done.body)["error"]["code"] == "request_timeout"

    async def test_a_json_body_that_dribbles_is_408_too(self, tenant: Tenant) -> None:
        async def dribbling() -> AsyncIterator[Message]:
            while True:
                yield chunk(b" ")
                await asyncio.sleep(0.05)

        headers = {"authorization": tenant.http.headers["authorization"], "content-length": "500"}
        done = await exchange(tenant.api.app, "POST", "/v1/fine_tuning/jobs", headers, dribbling())
        assert done.status == 408
