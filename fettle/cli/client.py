"""The command line's own small client of the API."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import orjson

from fettle.cli import credentials
from fettle.errors import FettleError, Unavailable, no_answer
from fettle.settings import Settings

AWAY = (502, 503, 504)
LISTS = {"/v1/models": "models list", "/v1/files": "files list", "/v1/fine_tuning/jobs": "jobs list"}
END = "[DONE]"  # the data of the last event
EVENTS_AWAY_SECONDS = 60  # how long a watch outlives a server that restarts


class Refused(FettleError):
    """The API said no."""


class Client:
    """Of one server: that of FETTLE_URL, else that of the last `fettle login`, else the one on this machine."""

    def __init__(self, settings: Settings, url: str | None = None, key: str | None = None) -> None:
        self.url = url or server(settings)
        headers = {"Authorization": f"Bearer {key or key_for(self.url, settings)}", "User-Agent": "fettle"}
        env = not credentials.is_loopback(self.url)  # a proxy leads to no server on this machine
        self.http = httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=env)

    def get(self, path: str, **query: Any) -> Any:
        return self.ask("GET", path, params={name: value for name, value in query.items() if value is not None})

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """However long the answer takes."""
        return self.ask("POST", path, json=body, timeout=httpx.Timeout(None, connect=30))

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        return self.ask("PATCH", path, json=body)

    def delete(self, path: str) -> Any:
        return self.ask("DELETE", path)

    def upload(self, file: BinaryIO, name: str, purpose: str = "fine-tune") -> dict[str, Any]:
        """The file's object, with the report of its validation if it is to train on."""
        timeout = httpx.Timeout(None, connect=30)
        parts = {"file": (name, file, "application/octet-stream")}
        answer: dict[str, Any] = self.ask("POST", "/v1/files", data={"purpose": purpose}, files=parts, timeout=timeout)
        return answer

    def pages(self, path: str, most: int, **query: Any) -> list[dict[str, Any]]:
        """As many rows of a list as are wanted, from as many pages as that takes."""
        rows: list[dict[str, Any]] = []
        while len(rows) < most:
            page = self.get(path, limit=min(100, most - len(rows)), after=rows[-1]["id"] if rows else None, **query)
            rows += page["data"]
            if not page.get("has_more") or not page["data"]:
                break
        return rows

    def ask(self, method: str, path: str, **options: Any) -> Any:
        try:
            answer = checked(self.http.request(method, path, **options))
        except httpx.TransportError as error:
            raise self.away(error) from error
        try:
            return answer.json()
        except ValueError as error:
            raise Refused(f"{self.url} does not answer as Fettle does. Check the address.") from error

    def download(
        self, path: str, to: Path, query: dict[str, Any], advance: Callable[[int], None] = lambda size: None
    ) -> None:
        """Into a new file; of a download that breaks off nothing is left. advance: called with the bytes of a piece."""
        part = to.with_name(f".{to.name}.part")
        try:
            with self.stream("GET", path, params=query) as response, part.open("wb") as out:
                for piece in response.iter_bytes():
                    out.write(piece)
                    advance(len(piece))
            part.replace(to)
        finally:
            part.unlink(missing_ok=True)

    def chat(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The chunks of a streamed answer. Raises Refused for an error in between."""
        with self.stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as response:
            for data in server_sent(response):
                chunk = orjson.loads(data)
                if "error" in chunk:
                    raise Refused(chunk["error"]["message"])
                yield chunk

    def events(self, job_id: str) -> Iterator[dict[str, Any]]:
        """A job's events, from the first one until it ends. A server that restarts in between is waited for."""
        path, last = f"/v1/fine_tuning/jobs/{job_id}/events", None
        away_since: float | None = None
        while True:
            headers: dict[str, str] = {"Last-Event-ID": last} if last else {}
            try:
                with self.stream("GET", path, params={"stream": "true"}, headers=headers) as response:
                    for data in server_sent(response, end=END):
                        if data == END:
                            return
                        event = orjson.loads(data)
                        last, away_since = event["id"], None
                        yield event
                raise Unavailable(f"{self.url} closed the stream of events before the job ended.")  # it is stopped
            except Unavailable:
                away_since = away_since or time.monotonic()
                if last is None or time.monotonic() - away_since > EVENTS_AWAY_SECONDS:
                    raise
                time.sleep(1)

    @contextmanager
    def stream(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        try:
            with self.http.stream(method, path, timeout=httpx.Timeout(None, connect=30), **options) as response:
                if not response.is_success:
                    response.read()
                yield checked(response)
        except httpx.TransportError as error:
            raise self.away(error) from error

    def away(self, error: httpx.TransportError) -> Unavailable:
        return Unavailable(
            f"{self.url} is not responding ({no_answer(error)}). Check that `fettle up` is running, or set FETTLE_URL."
        )


def server(settings: Settings) -> str:
    """The address that commands ask."""
    named = os.environ.get("FETTLE_URL")
    if named:
        return credentials.address(named)
    return credentials.current() or here(settings)


def here(settings: Settings) -> str:
    """The server that `fettle up` starts."""
    return f"http://{settings.host}:{settings.port}"


def key_for(url: str, settings: Settings) -> str:
    """Raises Refused when there is none."""
    file = settings.data / "admin.key"
    if key := os.environ.get("FETTLE_API_KEY") or credentials.key_of(url):
        return key
    if file.is_file():
        return file.read_text().strip()
    if url == here(settings):
        raise Refused(
            f"No API key found for {url}: {file} does not exist. Start Fettle with `fettle up`, or set FETTLE_DATA to "
            "the folder of one that runs. For a server elsewhere, run `fettle login URL` or set FETTLE_API_KEY."
        )
    raise Refused(f"No API key found for {url}. Run `fettle login {url}`, or set FETTLE_API_KEY.")


def server_sent(response: httpx.Response, end: str | None = None) -> Iterator[str]:
    """The data of each event until [DONE], which is given as well where it is the `end` that is waited for."""
    for line in response.iter_lines():
        if line.startswith("data: ") and line != f"data: {END}":
            yield line[len("data: ") :]
        elif end is not None and line == f"data: {end}":
            yield end


def in_commands(message: str) -> str:
    """The API's way out, as the command line has it."""
    for route, command in LISTS.items():
        message = message.replace(f"GET {route} lists", f"`fettle {command}` lists")
    return message


def checked(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    code = None
    try:
        error = response.json()["error"]
        message, code = in_commands(error["message"]), error.get("code")
    except (ValueError, KeyError, TypeError):
        message = f"The answer of {response.url} has the status {response.status_code}. Is it a Fettle server?"
    raise Unavailable(message) if response.status_code in AWAY else Refused(message, code=code)
